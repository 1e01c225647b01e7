import CKernels
import ResidualTensor

/// Stochastic gradient descent with momentum, Nesterov's variant and weight decay.
///
/// PyTorch: `torch.optim.SGD`.
public final class SGD: Optimizer {
  /// The parameters, in the order given.
  public let parameters: [Parameter]
  /// Step length.
  public var learningRate: Double
  /// Share of the last update in the next.
  public private(set) var momentum: Double
  /// How much a new gradient is held back when it enters the momentum.
  public private(set) var dampening: Double
  /// Share of the weight that is added to its gradient.
  public private(set) var weightDecay: Double
  /// Whether the gradient looks ahead by the momentum.
  public private(set) var isNesterov: Bool
  /// Momentum of each parameter; nil before its first step.
  public internal(set) var momentumBuffers: [Storage?]

  /// Plain descent unless options are given.
  ///
  /// - Throws: `OptimizerError` for an empty list, a parameter given twice, a negative hyperparameter, or Nesterov
  ///   without momentum or with dampening.
  public init(
    _ parameters: [Parameter], learningRate: Double, momentum: Double = 0, dampening: Double = 0,
    weightDecay: Double = 0, nesterov: Bool = false
  ) throws {
    let hyperparameters = (learningRate, momentum, dampening, weightDecay, nesterov)
    try Self.check(hyperparameters, parameters)
    self.parameters = parameters
    self.learningRate = learningRate
    self.momentum = momentum
    self.dampening = dampening
    self.weightDecay = weightDecay
    isNesterov = nesterov
    momentumBuffers = Array(repeating: nil, count: parameters.count)
  }

  /// Learning rate, momentum, dampening, weight decay, Nesterov.
  typealias Hyperparameters = (Double, Double, Double, Double, Bool)

  private static func check(_ hyperparameters: Hyperparameters, _ parameters: [Parameter]) throws(OptimizerError) {
    let (learningRate, momentum, dampening, weightDecay, nesterov) = hyperparameters
    try checkOptimizer(
      "SGD", parameters,
      nonNegative: ["learningRate": learningRate, "momentum": momentum, "weightDecay": weightDecay])
    guard dampening.isFinite else {
      throw OptimizerError(
        code: .invalidHyperparameter, message: "SGD: dampening is \(dampening), but must be a finite number")
    }
    if nesterov && (momentum <= 0 || dampening != 0) {
      throw OptimizerError(
        code: .invalidHyperparameter, message: "SGD: Nesterov requires a momentum above 0 and a dampening of 0")
    }
  }

  /// Takes other hyperparameters over, or throws and keeps its own.
  func assign(_ hyperparameters: Hyperparameters) throws(OptimizerError) {
    try Self.check(hyperparameters, parameters)
    (learningRate, momentum, dampening, weightDecay, isNesterov) = hyperparameters
  }

  /// One update of those of the parameters at `indices` that have a gradient.
  public func step(_ indices: [Int]) {
    let updates = indices.compactMap { index -> SGDUpdate? in
      let parameter = parameters[index]
      guard let gradient = parameter.pendingGrad else { return nil }
      let isFirst = momentum != 0 && momentumBuffers[index] == nil
      if isFirst { momentumBuffers[index] = Storage(uninitialized: parameter.count) }
      return SGDUpdate(
        options: kernelOptions(isFirst: isFirst), count: parameter.count, gradient: gradient,
        weight: parameter.mutate { $0.baseAddress }, buffer: momentumBuffers[index])
    }
    updateInPieces(updates.map(\.count)) { updates[$0].run($1) }
  }

  private func kernelOptions(isFirst: Bool) -> rk_sgd {
    rk_sgd(
      learning_rate: Float(learningRate), momentum: Float(momentum), dampening: Float(dampening),
      weight_decay: Float(weightDecay), nesterov: isNesterov, first: isFirst)
  }
}

/// One parameter's part of a step; the weight lives in the parameter.
private struct SGDUpdate {
  let options: rk_sgd
  let count: Int
  let gradient: PendingGradient
  let weight: UnsafeMutablePointer<Float>?
  let buffer: Storage?

  func run(_ range: Range<Int>) {
    guard let weight else { return }
    let start = range.lowerBound
    withUnsafePointer(to: options) {
      rk_sgd_step($0, gradient.pointer(to: range), weight + start, buffer.map { $0.pointer + start }, range.count)
    }
  }
}
