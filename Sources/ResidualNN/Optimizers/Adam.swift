import CKernels
import Foundation
import ResidualTensor

/// Adam with bias correction (Kingma and Ba 2014, arXiv:1412.6980).
///
/// PyTorch: `torch.optim.Adam`.
public class Adam: Optimizer {
  /// The parameters, in the order given.
  public let parameters: [Parameter]
  /// Step length.
  public var learningRate: Double
  /// Decay of the running mean of gradients and of their squares.
  public private(set) var betas: (Double, Double)
  /// Added to the root of the mean square.
  public private(set) var epsilon: Double
  /// Share of the weight that is added to its gradient (`Adam`) or taken off the weight (`AdamW`).
  public private(set) var weightDecay: Double
  /// Running mean, running mean square and number of steps of each parameter; nil before its first step.
  public internal(set) var moments: [AdamMoments?]
  /// Whether weight decay acts on the weight instead of the gradient.
  var isDecoupled: Bool { false }

  /// PyTorch's defaults unless options are given.
  ///
  /// - Throws: `OptimizerError` for an empty list, a parameter given twice, or a hyperparameter out of range.
  public init(
    _ parameters: [Parameter], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    epsilon: Double = 1e-8, weightDecay: Double = 0
  ) throws {
    try Self.check((learningRate, betas, epsilon, weightDecay), parameters)
    self.parameters = parameters
    self.learningRate = learningRate
    self.betas = betas
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    moments = Array(repeating: nil, count: parameters.count)
  }

  /// Learning rate, betas, epsilon, weight decay.
  typealias Hyperparameters = (Double, (Double, Double), Double, Double)

  private static func check(_ hyperparameters: Hyperparameters, _ parameters: [Parameter]) throws(OptimizerError) {
    let (learningRate, betas, epsilon, weightDecay) = hyperparameters
    try checkOptimizer(
      "\(Self.self)", parameters,
      nonNegative: ["learningRate": learningRate, "epsilon": epsilon, "weightDecay": weightDecay],
      fractions: ["betas.0": betas.0, "betas.1": betas.1])
  }

  /// Takes other hyperparameters over, or throws and keeps its own.
  func assign(_ hyperparameters: Hyperparameters) throws(OptimizerError) {
    try Self.check(hyperparameters, parameters)
    (learningRate, betas, epsilon, weightDecay) = hyperparameters
  }

  /// One update of those of the parameters at `indices` that have a gradient, in one pass over memory.
  public func step(_ indices: [Int]) {
    let updates = indices.compactMap { index -> AdamUpdate? in
      let parameter = parameters[index]
      guard let gradient = parameter.pendingGrad else { return nil }
      var state = moments[index] ?? AdamMoments(count: parameter.count)
      state.steps += 1
      moments[index] = state
      return AdamUpdate(
        options: kernelOptions(step: state.steps), gradient: gradient, weight: parameter.mutate { $0.baseAddress },
        moments: state)
    }
    updateInPieces(updates.map(\.moments.mean.count)) { updates[$0].run($1) }
  }

  private func kernelOptions(step: Int) -> rk_adam {
    let correction1 = 1 - pow(betas.0, Double(step))
    let correction2 = 1 - pow(betas.1, Double(step))
    return rk_adam(
      step_size: Float(learningRate / correction1), inverse_root_correction: Float(1 / correction2.squareRoot()),
      one_minus_beta1: Float(1 - betas.0), beta2: Float(betas.1), one_minus_beta2: Float(1 - betas.1),
      epsilon: Float(epsilon), weight_decay: Float(isDecoupled ? 0 : weightDecay),
      decay: Float(isDecoupled ? learningRate * weightDecay : 0))
  }
}

/// Adam whose weight decay acts on the weight itself (Loshchilov and Hutter 2017, arXiv:1711.05101).
///
/// PyTorch: `torch.optim.AdamW`.
public final class AdamW: Adam {
  override var isDecoupled: Bool { true }

  /// PyTorch's defaults: weight decay 0.01.
  public override init(
    _ parameters: [Parameter], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    epsilon: Double = 1e-8, weightDecay: Double = 1e-2
  ) throws {
    try super.init(
      parameters, learningRate: learningRate, betas: betas, epsilon: epsilon, weightDecay: weightDecay)
  }
}

/// What Adam remembers of one parameter.
public struct AdamMoments {
  /// Running mean of the gradient (`exp_avg`).
  public let mean: Storage
  /// Running mean of the squared gradient (`exp_avg_sq`).
  public let square: Storage
  /// Steps taken (`step`).
  public var steps = 0

  private let resting: RestingPieces

  init(count: Int) {
    self.init(mean: Storage(repeating: 0, count: count), square: Storage(repeating: 0, count: count), steps: 0)
  }

  init(mean: Storage, square: Storage, steps: Int) {
    self.mean = mean
    self.square = square
    self.steps = steps
    resting = RestingPieces(elements: mean.count)
  }

  /// Whether the moments of the piece that begins there are known to be zero, for the kernel to look at and set; nil once
  /// somebody else has changed them.
  fileprivate func rests(from start: Int) -> UnsafeMutablePointer<Bool>? {
    mean.version == 0 && square.version == 0 ? resting.flags + start / updateGrain : nil
  }
}

/// One flag for each piece of a parameter, of which threads have different ones at a time.
private final class RestingPieces {
  let flags: UnsafeMutablePointer<Bool>

  init(elements: Int) {
    let count = elements / updateGrain + 1
    flags = .allocate(capacity: count)
    flags.initialize(repeating: false, count: count)
  }

  deinit { flags.deallocate() }
}

/// One parameter's part of a step; the weight lives in the parameter.
private struct AdamUpdate {
  let options: rk_adam
  let gradient: PendingGradient
  let weight: UnsafeMutablePointer<Float>?
  let moments: AdamMoments

  func run(_ range: Range<Int>) {
    guard let weight, !stays(range) else { return }
    let start = range.lowerBound
    withUnsafePointer(to: options) {
      rk_adam_step(
        $0, gradient.pointer(to: range), weight + start, moments.mean.pointer + start, moments.square.pointer + start,
        moments.rests(from: start), range.count)
    }
  }

  /// Whether weights without a gradient stay as they are, as the kernel would find out by reading it.
  private func stays(_ range: Range<Int>) -> Bool {
    guard let rests = moments.rests(from: range.lowerBound), rests.pointee else { return false }
    return options.weight_decay == 0 && options.decay == 0 && options.epsilon > 0
      && gradient.isUnwritten(range)
  }
}
