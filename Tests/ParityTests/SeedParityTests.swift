import Foundation
import Residual
import Testing

/// A layer or network as `torch.manual_seed(seed)` and its constructor make it.
struct SeedCase: Decodable, Sendable, CustomTestStringConvertible {
  let name: String
  let file: String
  let layer: String
  let arguments: LayerSpecification.Arguments
  let seed: UInt64
  /// Whether the file has all weights; else it has the ends and the sums of each.
  let whole: Bool

  var testDescription: String { name }

  static func all() throws -> [SeedCase] { try ReferenceFolder.decode(SeedCase.self, from: "initialization.json") }

  /// Whether a weight was drawn from a normal distribution: the convolutions of residual networks.
  func isNormal(_ shape: [Int]) -> Bool { layer == "resnet" && arguments.model != "small-cnn" && shape.count == 4 }
}

extension Parity {
  /// Uniform draws bit for bit.
  ///
  /// Normal ones go through a logarithm and a cosine, which PyTorch's vector library rounds otherwise in the last
  /// place.
  @Test("A seed gives PyTorch's weights", arguments: try SeedCase.all())
  func seeds(_ seedCase: SeedCase) throws {
    let specification = LayerSpecification(layer: seedCase.layer, arguments: seedCase.arguments)
    let generator = Generator(seed: 1)
    let state = try Generator.withDefault(generator) {
      Generator.default.manualSeed(seedCase.seed)
      return try specification.make().stateDict()
    }
    let reference = ParityCase.Content(
      try StateDict(contentsOf: ReferenceFolder.url().appending(path: seedCase.file).path))
    #expect(Set(state.keys) == (seedCase.whole ? Set(reference.tensors.keys) : Set(reference.part("sum").keys)))
    for (key, value) in state {
      let isNormal = seedCase.isNormal(value.shape)
      if seedCase.whole {
        expectEqual(value, try reference(key), key, isNormal: isNormal)
        continue
      }
      let scalars = value.scalars(as: Double.self)
      expectEqual(value.elements(0..<min(8, value.count)), try reference("first.\(key)"), key, isNormal: isNormal)
      expectEqual(
        value.elements(max(0, value.count - 8)..<value.count), try reference("last.\(key)"), key, isNormal: isNormal)
      let (sum, absolute) = try (
        reference("sum.\(key)").scalars(as: Double.self)[0],
        reference("absolute_sum.\(key)").scalars(as: Double.self)[0]
      )
      // Of numbers equal to the bit, sums in double differ by their order only.
      let tolerance = (isNormal ? 1e-7 : 1e-13) * absolute
      #expect(abs(scalars.reduce(0, +) - sum) <= tolerance, "\(key)")
      #expect(abs(scalars.reduce(0) { $0 + abs($1) } - absolute) <= tolerance, "\(key)")
    }
  }

  private func expectEqual(_ value: TensorData, _ expected: TensorData, _ key: String, isNormal: Bool) {
    guard isNormal else {
      #expect(value == expected, "\(key) is not PyTorch's to the bit")
      return
    }
    let wanted = expected.scalars(as: Float.self)
    let ulp = (wanted.map(\.magnitude).max() ?? 0).ulp
    let worst = zip(value.scalars(as: Float.self), wanted).map { abs($0 - $1) }.max() ?? 0
    #expect(value.shape == expected.shape && worst <= ulp, "\(key) is off by \(worst), more than \(ulp)")
  }
}

extension TensorData {
  /// Some elements, row-major, as a vector.
  fileprivate func elements(_ range: Range<Int>) -> TensorData {
    let part = scalars(as: Float.self)[range]
    return TensorData(Array(part), shape: [part.count])
  }
}
