import Residual
import Testing

/// Gradients clipped by their norm, as the reference has them.
struct ClippingCase: Decodable, Sendable, CustomTestStringConvertible {
  let name: String
  let maxNorm: Double

  var testDescription: String { name }

  static func all() throws -> [ClippingCase] {
    try ReferenceFolder.decode(ClippingCase.self, from: "clipping.json")
  }
}

extension Parity {
  /// The norm before and every gradient after, by the rule of the layers.
  @Test("Gradients are clipped as PyTorch clips them", arguments: try ClippingCase.all())
  func clipping(_ clippingCase: ClippingCase) throws {
    let file = try ReferenceFolder.url().appending(path: "optimizers.h5").path
    let content = ParityCase.Content(try StateDict(contentsOf: file))
    let names = content.part("initial").keys
    let parameters = try names.map { Parameter(Tensor(try content("initial.\($0)"))) }
    for (name, parameter) in zip(names, parameters) {
      // The derivative of a sum of products is the other factor, exactly.
      (parameter.value * Tensor(try content("gradient.1.\(name)"))).sum().backward()
    }
    let norm = try clipGradientNorm(parameters, maximum: clippingCase.maxNorm)
    var results: StateDict = ["norm": TensorData([norm], shape: [])]
    for (name, parameter) in zip(names, parameters) {
      results[name] = TensorData(try #require(parameter.grad))
    }
    for (name, value) in results {
      let expected = try content("\(clippingCase.name).expected.\(name)")
      let single = try content("\(clippingCase.name).torch32.\(name)")
      let comparison = Comparison(
        name: name, ours: relativeError(value, to: expected), torch: relativeError(single, to: expected),
        limit: Comparison.layerBound)
      #expect(comparison.passes, "\(comparison)")
    }
  }
}
