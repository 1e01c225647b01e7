/// Whether and how operations are recorded for differentiation.
enum Recording {
  /// What becomes of an operation on tensors that require a gradient.
  enum Mode {
    /// Its result gets a node, which keeps what the backward pass needs.
    case on
    /// Its result gets a node that knows its inputs and keeps nothing else; the numbers are those of `on`.
    case outline
    /// Its result is outside the record.
    case off
  }

  @TaskLocal static var mode = Mode.on
}

/// Runs `body` without recording: no memory is kept for a backward pass.
///
/// PyTorch: `torch.no_grad()`.
public func withoutRecording<Result>(_ body: () throws -> Result) rethrows -> Result {
  try Recording.$mode.withValue(.off, operation: body)
}

/// Whether an operation on these tensors would be recorded.
public func isRecording(_ tensors: Tensor?...) -> Bool {
  Recording.mode != .off && tensors.contains { $0?.node != nil }
}

extension Tensor {
  /// The result of an operation: recorded if recording is on and any input requires a gradient.
  static func recorded(
    _ storage: Storage, shape: [Int], from inputs: Tensor?..., propagate: @escaping Node.Propagate
  ) -> Tensor {
    let mode = Recording.mode
    let nodes = mode == .off ? [] : inputs.compactMap { $0?.node }
    guard !nodes.isEmpty else { return Tensor(storage: storage, shape: shape) }
    let propagate = mode == .on ? propagate : Node.refuse
    return Tensor(storage: storage, shape: shape, node: Node(shape: shape, inputs: nodes, propagate: propagate))
  }
}
