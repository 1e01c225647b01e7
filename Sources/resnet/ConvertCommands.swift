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

  func run() throws {
    guard let format = FileFormat(endingOf: output) else {
      throw ValidationError("\(output) has no ending that tells a format; use .h5, .safetensors, .pth or .npz")
    }
    try AtomicFile.checkWritable(output)
    var state = try StateDict(contentsOf: input, options: .init(allowingFilters: allowFilters))
    if let stripPrefix { state = try state.strippingPrefix(stripPrefix) }
    try state.write(to: output, format: format)
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
    commandName: "verify", abstract: "Check a file of weights against its checksums.")

  @Argument(help: "File of weights.") var file: String

  func run() throws {
    let state = try StateDict(contentsOf: file)
    let output = Output(json: false)
    try output.say("\(file): \(state.count) entries, \(state.byteCount) bytes, all readable and as they were written")
  }
}
