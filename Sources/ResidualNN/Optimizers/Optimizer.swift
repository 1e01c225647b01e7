import ResidualTensor

/// Changes parameters by their gradients.
///
/// PyTorch: `torch.optim.Optimizer`.
///
/// Parameters without a gradient are passed over, as in PyTorch.
public protocol Optimizer: AnyObject {
  /// The parameters, in the order given.
  var parameters: [Parameter] { get }
  /// Step length; schedules set it.
  var learningRate: Double { get set }
  /// One update of those of the parameters at `indices` that have a gradient.
  func step(_ indices: [Int])
}

extension Optimizer {
  /// One update of every parameter that has a gradient.
  ///
  /// PyTorch: `torch.optim.Optimizer.step`.
  public func step() { step(Array(parameters.indices)) }

  /// Forgets all gradients.
  ///
  /// PyTorch: `zero_grad(set_to_none=True)`.
  public func zeroGradients() {
    for parameter in parameters { parameter.zeroGrad() }
  }
}

/// What an optimizer refuses to be made or to work with.
public struct OptimizerError: Error, Equatable, CustomStringConvertible {
  /// What was wrong.
  public enum Code: Sendable {
    /// No parameters were given.
    case noParameters
    /// A parameter was given twice.
    case duplicateParameter
    /// A hyperparameter is outside its range.
    case invalidHyperparameter
    /// A gradient has elements that are infinite or no numbers.
    case gradientNotFinite
  }

  /// What was wrong.
  public let code: Code
  /// What was wrong, in words, and the way out.
  public let message: String
  /// The message.
  public var description: String { message }
}

/// The parameters and hyperparameters of an optimizer, checked.
func checkOptimizer(
  _ name: String, _ parameters: [Parameter], nonNegative: KeyValuePairs<String, Double>,
  fractions: KeyValuePairs<String, Double> = [:]
) throws(OptimizerError) {
  guard !parameters.isEmpty else {
    throw OptimizerError(
      code: .noParameters, message: "\(name): the list of parameters is empty; pass model.parameters()")
  }
  var seen: Set<ObjectIdentifier> = []
  for (index, parameter) in parameters.enumerated() where !seen.insert(ObjectIdentifier(parameter)).inserted {
    throw OptimizerError(
      code: .duplicateParameter,
      message: "\(name): parameter \(index), of shape \(parameter.shape), is in the list twice; each may be given once")
  }
  for (label, value) in nonNegative where !(value >= 0 && value.isFinite) {
    throw OptimizerError(
      code: .invalidHyperparameter, message: "\(name): \(label) is \(value), but must be a finite number, 0 or more")
  }
  for (label, value) in fractions where !(0..<1).contains(value) {
    throw OptimizerError(
      code: .invalidHyperparameter, message: "\(name): \(label) is \(value), but must be at least 0 and less than 1")
  }
}

/// Runs an update over parameters of these sizes at once, in pieces that threads share, or beside other work
/// (`Threads.runAside`).
func updateInPieces(_ counts: [Int], _ update: @escaping (_ entry: Int, _ range: Range<Int>) -> Void) {
  let pieces = cutInPieces(counts)
  Threads.runAside(pieces.count) { update(pieces[$0].entry, pieces[$0].range) }
}

/// Elements that one thread updates at a time.
let updateGrain = 65_536

/// Cuts lists of these lengths into ranges for threads to share, in order.
func cutInPieces(_ counts: [Int]) -> [(entry: Int, range: Range<Int>)] {
  let grain = updateGrain
  return counts.enumerated().flatMap { entry, count in
    stride(from: 0, to: count, by: grain).map { (entry, $0..<min(count, $0 + grain)) }
  }
}
