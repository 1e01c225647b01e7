import Foundation
import Residual
import Testing

@Suite("resnet convert, diff and verify")
struct ConvertCommandTests {
  private let folder: TemporaryFolder
  private let weights: String

  init() throws {
    folder = try TemporaryFolder()
    weights = folder.file("weights.h5")
    try SmallCNN(imageSize: 8).stateDict().write(to: weights)
  }

  @Test("A converted file differs in nothing, and comes back", arguments: ["safetensors", "pth", "npz"])
  func convert(ending: String) throws {
    let (there, back) = (folder.file("weights.\(ending)"), folder.file("back.h5"))
    for (from, to) in [(weights, there), (there, back)] {
      let command = try Command("convert", from, to)
      #expect(command.status == 0 && command.errors == "", "\(command.errors)")
      #expect(command.output.contains(to))
      let difference = try Command("diff", weights, to)
      #expect(difference.status == 0 && difference.errors == "", "\(difference.errors)")
    }
    #expect(try StateDict(contentsOf: back) == StateDict(contentsOf: weights))
  }

  @Test("diff names what differs on standard output, with status 1 and no error")
  func diff() throws {
    var state = try StateDict(contentsOf: weights)
    state["fc.bias"] = TensorData([Float](repeating: 3, count: 10), shape: [10])
    let other = folder.file("other.h5")
    try state.write(to: other)
    let command = try Command("diff", weights, other)
    #expect(command.status == 1)
    #expect(command.output.contains("fc.bias"))
    #expect(!command.output.contains("conv.weight"))
    #expect(command.errors == "")
  }

  @Test("verify finds a single wrong byte in a tensor")
  func verify() throws {
    let good = try Command("verify", weights)
    #expect(good.status == 0 && good.errors == "" && good.output.contains("4 entries"))
    var bytes = try Data(contentsOf: URL(filePath: weights))
    let pattern = try #require(try StateDict(contentsOf: weights)["fc.weight"]).withUnsafeBytes { Data($0.prefix(64)) }
    let position = try #require(bytes.range(of: pattern)).lowerBound
    bytes[position] ^= 1
    try bytes.write(to: URL(filePath: weights))
    let bad = try Command("verify", weights)
    #expect(bad.status == 1 && bad.output == "")
    #expect(bad.errors.hasPrefix("resnet: error: ") && bad.errors.split(separator: "\n").count == 1)
    #expect(bad.errors.contains("fc.weight"))
  }

  private static let endings = ["h5", "safetensors", "pth", "npz"]

  @Test("Every pair of formats, there and back", arguments: endings, endings)
  func everyPair(from: String, to: String) throws {
    let files = [folder.file("a.\(from)"), folder.file("b.\(to)"), folder.file("c.\(from)")]
    for (source, target) in zip([weights] + files, files) {
      let command = try Command("convert", source, target)
      #expect(command.status == 0, "\(command.errors)")
    }
    #expect(try Command("diff", weights, files[2]).status == 0)
    // The format itself comes back too, to the last byte.
    #expect(try Data(contentsOf: URL(filePath: files[0])) == Data(contentsOf: URL(filePath: files[2])))
  }

  @Test("convert --nested makes groups, which read back as the flat file does")
  func nested() throws {
    let (nested, flat) = (folder.file("nested.h5"), folder.file("flat.h5"))
    #expect(try Command("convert", weights, nested, "--nested").status == 0)
    #expect(try Data(contentsOf: URL(filePath: nested)) != Data(contentsOf: URL(filePath: weights)))
    #expect(try StateDict(contentsOf: nested) == StateDict(contentsOf: weights))
    #expect(try StateDict(contentsOf: nested).keys == StateDict(contentsOf: weights).keys)
    #expect(try Command("convert", nested, flat).status == 0)
    #expect(try Data(contentsOf: URL(filePath: flat)) == Data(contentsOf: URL(filePath: weights)))
    let verified = try Command("verify", nested)
    #expect(verified.status == 0 && verified.output.contains("all 4 checksums are right"))
    let wrong = try Command("convert", weights, folder.file("x.npz"), "--nested")
    #expect(wrong.status == 64 && wrong.errors.contains("--nested"))
  }

  @Test("Keys that can't be nested are refused, and the file that was there stays")
  func notNestable() throws {
    let path = folder.file("nested.h5")
    try Data("before".utf8).write(to: URL(filePath: path))
    let one = TensorData([1 as Float], shape: [1])
    let deep = Array(repeating: "a", count: 40).joined(separator: ".")
    for (state, words) in [
      (["a": one, "a.b": one] as StateDict, "\"a\" is a tensor"), (["a..b": one], "cannot be a name"),
      ([deep: one], "groups deep"),
    ] {
      let error = #expect(throws: StateError.self) { try state.write(to: path, nesting: true) }
      #expect(error?.code == .invalidKey && error?.message.contains(words) == true, "\(error as Any)")
      #expect(try Data(contentsOf: URL(filePath: path)) == Data("before".utf8))
    }
  }

  @Test("verify says how many checksums there were, and that a file has none")
  func verifyCounts() throws {
    let cases = [
      ("h5", "4 entries", "all 4 checksums are right"), ("pth", "4 entries", "all 4 checksums are right"),
      ("npz", "4 entries", "all 4 checksums are right"), ("safetensors", "4 entries", "the file has no checksums"),
    ]
    for (ending, count, words) in cases {
      let path = folder.file("copy.\(ending)")
      try StateDict(contentsOf: weights).write(to: path)
      let command = try Command("verify", path)
      #expect(command.status == 0 && command.errors == "", "\(command.errors)")
      #expect(command.output.contains(count) && command.output.contains(words), "\(command.output)")
    }
    let missing = try Command("verify", folder.file("none.h5"))
    #expect(missing.status == 1 && missing.errors.contains("there is no such file"))
  }

  @Test("verify names every damaged tensor, not only the first")
  func verifyAll() throws {
    var bytes = try Data(contentsOf: URL(filePath: weights))
    let state = try StateDict(contentsOf: weights)
    for key in ["conv.weight", "fc.bias"] {
      let pattern = try #require(state[key]).withUnsafeBytes { Data($0.prefix(40)) }
      bytes[try #require(bytes.range(of: pattern)).lowerBound] ^= 1
    }
    try bytes.write(to: URL(filePath: weights))
    let report = try ChecksumReport(contentsOf: weights)
    #expect((report.checked, report.unchecked) == (4, 0))
    #expect(report.failed == ["conv.weight", "fc.bias"])
    let command = try Command("verify", weights)
    #expect(command.status == 1 && command.errors.contains("2 of 4 checksums are wrong, of conv.weight, fc.bias"))
  }
}
