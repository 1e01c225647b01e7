import Residual
import Testing

/// Ten optimizer steps on gradients that the reference gives.
struct OptimizerCase: Decodable, Sendable, CustomTestStringConvertible {
  let name: String
  let file: String
  let optimizer: String
  let arguments: Arguments
  let steps: Int
  let parameters: [String]

  struct Arguments: Decodable, Sendable {
    let lr: Double
    let weightDecay: Double
    let momentum, dampening, eps: Double?
    let nesterov: Bool?
    let betas: [Double]?
  }

  var testDescription: String { name }

  static func all() throws -> [OptimizerCase] {
    try ReferenceFolder.decode(OptimizerCase.self, from: "optimizers.json")
  }

  func makeOptimizer(_ parameters: [Parameter]) throws -> any Optimizer {
    let a = arguments
    if optimizer == "sgd", let momentum = a.momentum, let dampening = a.dampening, let nesterov = a.nesterov {
      return try SGD(
        parameters, learningRate: a.lr, momentum: momentum, dampening: dampening, weightDecay: a.weightDecay,
        nesterov: nesterov)
    }
    guard let betas = a.betas, betas.count == 2, let eps = a.eps else {
      throw ReferenceError(description: "\(name): the reference lacks arguments of \(optimizer)")
    }
    switch optimizer {
    case "adam":
      return try Adam(
        parameters, learningRate: a.lr, betas: (betas[0], betas[1]), epsilon: eps, weightDecay: a.weightDecay)
    case "adamw":
      return try AdamW(
        parameters, learningRate: a.lr, betas: (betas[0], betas[1]), epsilon: eps, weightDecay: a.weightDecay)
    default: throw ReferenceError(description: "the tests know no optimizer '\(optimizer)'")
    }
  }
}

extension Parity {
  /// Every parameter after each of ten steps, by the rule of the layers.
  @Test("An optimizer takes PyTorch's steps", arguments: try OptimizerCase.all())
  func optimizers(_ optimizerCase: OptimizerCase) throws {
    let folder = try ReferenceFolder.url()
    let content = ParityCase.Content(try StateDict(contentsOf: folder.appending(path: optimizerCase.file).path))
    let parameters = try optimizerCase.parameters.map { Parameter(Tensor(try content("initial.\($0)"))) }
    let optimizer = try optimizerCase.makeOptimizer(parameters)
    for step in 1...optimizerCase.steps {
      optimizer.zeroGradients()
      for (name, parameter) in zip(optimizerCase.parameters, parameters) {
        // The derivative of a sum of products is the other factor, exactly.
        (parameter.value * Tensor(try content("gradient.\(step).\(name)"))).sum().backward()
      }
      optimizer.step()
      for (name, parameter) in zip(optimizerCase.parameters, parameters) {
        let expected = try content("\(optimizerCase.name).expected.\(step).\(name)")
        let single = try content("\(optimizerCase.name).torch32.\(step).\(name)")
        let comparison = Comparison(
          name: "\(name) after step \(step)", ours: relativeError(TensorData(parameter.value), to: expected),
          torch: relativeError(single, to: expected), limit: Comparison.layerBound)
        #expect(comparison.passes, "\(comparison)")
      }
    }
  }
}
