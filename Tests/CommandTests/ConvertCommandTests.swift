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
}
