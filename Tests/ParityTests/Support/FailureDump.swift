import Foundation
import Residual

/// The file that a failed comparison leaves: everything needed to run it again, here or in PyTorch.
///
/// `input`, `upstream`, `target` and `weight.KEY` as in the reference, `expected.RESULT` (PyTorch float64),
/// `torch32.RESULT` (and `torch16.RESULT`) and ours as `actual.RESULT`.
struct FailureDump {
  let url: URL
  private let test: String

  /// Ignored by git.
  static let folder = ReferenceFolder.repository.appending(path: "parity-failures", directoryHint: .isDirectory)

  /// - Parameter test: The function that compares it.
  init(
    of parityCase: ParityCase, _ content: ParityCase.Content, results: StateDict, test: String = "layers",
    in folder: URL = folder
  ) throws {
    self.test = test
    url = folder.appending(path: "\(parityCase.name).h5")
    var dump = content.tensors
    for (name, value) in results { dump["actual.\(name)"] = value }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try dump.write(to: url.path)
  }

  /// How to run the case again.
  var message: String {
    """
    Weights, input, upstream gradient and both results are in \(url.path). Replay it
      in Swift:   RESIDUAL_REPLAY=\(url.path) swift test -c release -Xswiftc -enable-testing --filter Parity/\(test)
      in PyTorch: .venv/bin/python tools/reference/replay.py \(url.path)
    """
  }
}
