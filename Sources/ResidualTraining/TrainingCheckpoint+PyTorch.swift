import ResidualNN
import ResidualState

extension TrainingCheckpoint {
  /// The checkpoint as PyTorch's training scripts keep theirs: `{"model", "optimizer", "epoch", "step"}`, for
  /// `torch.load(path, weights_only=True)`.
  ///
  /// Schedule, history and random numbers have no counterpart and are left out.
  ///
  /// - Parameter parameterNames: The keys of the parameters in the order of PyTorch's `model.parameters()`, as
  ///   `namedParameters()` gives them.
  /// - Throws: `StateError` when the optimizer remembers other parameters.
  public func pyTorchValue(parameterNames: [String]) throws(StateError) -> PickleValue {
    .dictionary([
      .init(key: .string("model"), value: PickleValue(model)),
      .init(key: .string("optimizer"), value: try optimizer.pyTorchValue(names: parameterNames)),
      .init(key: .string("epoch"), value: .int(Int64(progress.epoch))),
      .init(key: .string("step"), value: .int(Int64(progress.step))),
    ])
  }
}
