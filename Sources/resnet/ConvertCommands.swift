import ArgumentParser
import Residual

/// `resnet convert`: the same tensors in another format.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Write a file of weights in another format.",
    discussion: "The format is told by the new file's ending: .h5, .safetensors, .pth, .npz.")

  @Argument(help: "File of weights, of any format.") var input: String
  @Argument(help: "New file.") var output: String
  @Option(help: ArgumentHelp("Take this off the front of the file's keys, such as module.", valueName: "prefix"))
  var stripPrefix: String?
  @Flag(help: "Read compressed HDF5 files too; only from someone you trust.") var allowFilters = false
  @Flag(help: "Put the tensors of an HDF5 file in groups by the dots in their keys.") var nested = false

  func run() throws {
    guard let format = FileFormat(endingOf: output) else {
      throw ValidationError("\(output) has no ending that tells a format; use .h5, .safetensors, .pth or .npz")
    }
    guard !nested || format == .hdf5 else {
      throw ValidationError("--nested makes groups, which only HDF5 has; use a name that ends in .h5")
    }
    try AtomicFile.checkWritable(output)
    var state = try StateDict(contentsOf: input, options: .init(allowingFilters: allowFilters))
    if let stripPrefix { state = try state.strippingPrefix(stripPrefix) }
    try state.write(to: output, format: format, nesting: nested)
    try Output(json: false).say("wrote \(output): \(state.count) entries, \(state.byteCount) bytes")
  }
}

/// `resnet diff`: what two files of weights do not share.
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Compare two files of weights.",
    discussion: "Exit status 0 when they are equal to the last bit, 1 when they differ or can't be read.")

  @Argument(help: "File of weights.") var first: String
  @Argument(help: "Other file of weights.") var second: String

  func run() throws {
    let difference = try StateDictDifference(StateDict(contentsOf: first), StateDict(contentsOf: second))
    try Output(json: false).say("\(difference)")
    if !difference.isEmpty { throw ExitCode.failure }
  }
}

/// `resnet verify`: whether every tensor has the checksum it was written with.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Check a file of weights against its checksums.",
    discussion: """
      Exit status 0 when all can be read and no checksum is wrong, also where the file has none, which is said; 1 when \
      a checksum is wrong or the file can't be read.
      """)

  @Argument(help: "File of weights, or training checkpoint.") var file: String

  func run() throws {
    let report = try ChecksumReport(contentsOf: file)
    guard report.failed.isEmpty else {
      throw StateError(
        .checksumMismatch,
        "\(report.failed.count) of \(report.checked) checksums are wrong, of \(report.failed.joined(separator: ", ")); use "
          + "another copy of the file", path: file)
    }
    let count = report.checked + report.unchecked
    let words =
      switch (report.checked, report.unchecked) {
      case (_, 0): "all \(report.checked) checksums are right"
      case (0, _): "all can be read, but the file has no checksums: damage to the numbers can't be seen"
      default: "\(report.checked) checksums are right, \(report.unchecked) entries have none"
      }
    try Output(json: false).say("\(file): \(count) entries, \(report.byteCount) bytes; \(words)")
  }
}
