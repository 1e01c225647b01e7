import Foundation

@testable import ResidualState

/// The path of a file made by tools/reference/make_state_fixtures.py.
func fixture(_ name: String) -> String {
  Bundle.module.bundleURL.appendingPathComponent("Fixtures/\(name).h5").path
}

/// A folder of its own for a test, removed with all that is in it when the last reference goes.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "residual-state-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(Array(bytes)).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  func bytes(of name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: file(name))))
  }

  var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() } }
}

/// The StateError that `body` throws, nil where it throws none.
func stateError(_ body: () throws -> Void) -> StateError? {
  do {
    try body()
    return nil
  } catch {
    return error as? StateError
  }
}

/// 0, 1, 2, … in that shape.
func counting(_ shape: Int..., from start: Int = 0) -> TensorData {
  TensorData((0..<shape.reduce(1, *)).map { Float($0 + start) }, shape: shape)
}

/// A state dict of a small network's kind, with every kind of entry.
let smallStateDict: StateDict = [
  "conv1.weight": counting(4, 1, 3, 3),
  "bn1.weight": counting(4, from: 1),
  "bn1.num_batches_tracked": TensorData([Int64(7)], shape: []),
  "fc.weight": counting(10, 4, from: 2),
  "fc.bias": counting(10, from: 3),
]
