import ResidualState
import ResidualTensor

/// What an optimizer remembers, by the names of its parameters, as a value.
///
/// PyTorch's optimizers keep state by position, so that reordering the layers of a model gives one weight the momentum
/// of another; here a name either fits or is an error.
public struct OptimizerState: Sendable, Equatable {
  /// `sgd`, `adam` or `adamw`.
  public let kind: String
  /// `learning_rate`, `momentum` and so on, under PyTorch's names.
  public var hyperparameters: [String: Double]
  /// `<parameter>.exp_avg`, `<parameter>.momentum_buffer` and so on, under PyTorch's names.
  ///
  /// A parameter that has not been updated yet has no entries.
  public var tensors: StateDict

  /// State as it comes from a file.
  public init(kind: String, hyperparameters: [String: Double], tensors: StateDict) {
    self.kind = kind
    self.hyperparameters = hyperparameters
    self.tensors = tensors
  }
}

/// An optimizer whose memory can be saved and restored.
public protocol CheckpointableOptimizer: Optimizer {
  /// A snapshot of the memory. PyTorch: `optimizer.state_dict()`.
  ///
  /// - Parameter names: The key of each parameter, in the optimizer's order.
  func state(names: [String]) -> OptimizerState

  /// Puts a snapshot back, hyperparameters included. PyTorch: `optimizer.load_state_dict()`.
  ///
  /// - Throws: `StateError` when the kind, a name or a shape does not fit; the optimizer is then unchanged.
  func restore(_ state: OptimizerState, names: [String]) throws
}

/// Takes the tensors of a saved optimizer apart by parameter and checks that all of them have a place.
struct OptimizerStateReader {
  private let tensors: StateDict
  private var unread: Set<String>

  init(_ state: OptimizerState, kind: String, names: [String], parameters: [Parameter]) throws(StateError) {
    precondition(names.count == parameters.count, "\(kind): \(names.count) names for \(parameters.count) parameters")
    guard state.kind == kind else {
      throw StateError(
        .invalidOptions, "the saved optimizer is \(state.kind), this one is \(kind); make one of the saved kind")
    }
    tensors = state.tensors
    unread = Set(state.tensors.keys)
  }

  /// The saved tensor `<name>.<field>`; nil if there is none.
  mutating func tensor(_ field: String, of name: String, shape: [Int]) throws(StateError) -> TensorData? {
    let key = "\(name).\(field)"
    guard let data = tensors[key] else { return nil }
    guard data.shape == shape, data.dtype == (shape.isEmpty && field == "step" ? .int64 : .float32) else {
      throw StateError(
        .shapeMismatch,
        "the optimizer's \(key) is \(data.dtype.rawValue) \(data.shape) in the file, the parameter is \(shape)",
        key: key)
    }
    unread.remove(key)
    return data
  }

  /// Throws when something was saved that no parameter has taken.
  func finish() throws(StateError) {
    guard let key = unread.min() else { return }
    throw StateError(
      .unexpectedKeys,
      "the optimizer's state has \(unread.count) entries for parameters that this one does not have, \(key) for one; "
        + "the checkpoint belongs to another model", key: key)
  }
}

func missingOptimizerState(_ field: String, of name: String) -> StateError {
  StateError(.missingKeys, "the optimizer's state of \(name) lacks \(field)", key: "\(name).\(field)")
}

/// Hyperparameters that come from a file are the file's mistake, not the programmer's.
private func assigning(_ body: () throws(OptimizerError) -> Void) throws(StateError) {
  do throws(OptimizerError) {
    try body()
  } catch {
    throw StateError(.corrupt, "the saved optimizer's hyperparameters are not valid: \(error.message)")
  }
}

extension SGD: CheckpointableOptimizer {
  /// Momentum buffers by name.
  ///
  /// PyTorch: `state_dict()` of `torch.optim.SGD`.
  public func state(names: [String]) -> OptimizerState {
    precondition(names.count == parameters.count, "SGD: \(names.count) names for \(parameters.count) parameters")
    var tensors = StateDict()
    for (index, name) in names.enumerated() {
      guard let buffer = momentumBuffers[index] else { continue }
      tensors["\(name).momentum_buffer"] = TensorData(Tensor(storage: buffer, shape: parameters[index].shape))
    }
    return OptimizerState(
      kind: "sgd",
      hyperparameters: [
        "lr": learningRate, "momentum": momentum, "dampening": dampening, "weight_decay": weightDecay,
        "nesterov": isNesterov ? 1 : 0,
      ], tensors: tensors)
  }

  /// Restores momentum and hyperparameters.
  public func restore(_ state: OptimizerState, names: [String]) throws {
    var reader = try OptimizerStateReader(state, kind: "sgd", names: names, parameters: parameters)
    let buffers = try zip(names, parameters).map { name, parameter in
      try reader.tensor("momentum_buffer", of: name, shape: parameter.shape).map { Tensor($0).storage }
    }
    try reader.finish()
    let saved = state.hyperparameters
    try assigning { () throws(OptimizerError) in
      try assign(
        (
          saved["lr"] ?? learningRate, saved["momentum"] ?? momentum, saved["dampening"] ?? dampening,
          saved["weight_decay"] ?? weightDecay, saved["nesterov"].map { $0 != 0 } ?? isNesterov
        ))
    }
    momentumBuffers = buffers
  }
}

extension Adam: CheckpointableOptimizer {
  private var kind: String { isDecoupled ? "adamw" : "adam" }

  /// Moments and steps by name.
  ///
  /// PyTorch: `state_dict()` of `torch.optim.Adam` and `AdamW`.
  public func state(names: [String]) -> OptimizerState {
    precondition(names.count == parameters.count, "Adam: \(names.count) names for \(parameters.count) parameters")
    var tensors = StateDict()
    for (index, name) in names.enumerated() {
      guard let moments = moments[index] else { continue }
      let shape = parameters[index].shape
      tensors["\(name).step"] = TensorData([Int64(moments.steps)], shape: [])
      tensors["\(name).exp_avg"] = TensorData(Tensor(storage: moments.mean, shape: shape))
      tensors["\(name).exp_avg_sq"] = TensorData(Tensor(storage: moments.square, shape: shape))
    }
    return OptimizerState(
      kind: kind,
      hyperparameters: [
        "lr": learningRate, "beta1": betas.0, "beta2": betas.1, "eps": epsilon, "weight_decay": weightDecay,
      ], tensors: tensors)
  }

  /// Restores moments, steps and hyperparameters.
  public func restore(_ state: OptimizerState, names: [String]) throws {
    var reader = try OptimizerStateReader(state, kind: kind, names: names, parameters: parameters)
    let restored = try zip(names, parameters).map { name, parameter -> AdamMoments? in
      guard let step = try reader.tensor("step", of: name, shape: []) else { return nil }
      guard let mean = try reader.tensor("exp_avg", of: name, shape: parameter.shape) else {
        throw missingOptimizerState("exp_avg", of: name)
      }
      guard let square = try reader.tensor("exp_avg_sq", of: name, shape: parameter.shape) else {
        throw missingOptimizerState("exp_avg_sq", of: name)
      }
      return AdamMoments(
        mean: Tensor(mean).storage, square: Tensor(square).storage, steps: Int(step.scalars(as: Int64.self)[0]))
    }
    try reader.finish()
    let saved = state.hyperparameters
    try assigning { () throws(OptimizerError) in
      try assign(
        (
          saved["lr"] ?? learningRate, (saved["beta1"] ?? betas.0, saved["beta2"] ?? betas.1), saved["eps"] ?? epsilon,
          saved["weight_decay"] ?? weightDecay
        ))
    }
    moments = restored
  }
}
