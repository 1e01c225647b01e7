/// Whether operations are recorded for differentiation.
enum Recording {
  @TaskLocal static var isOn = true
}

/// Runs `body` without recording: no memory is kept for a backward pass.
///
/// PyTorch: `torch.no_grad()`.
public func withoutRecording<Result>(_ body: () throws -> Result) rethrows -> Result {
  try Recording.$isOn.withValue(false, operation: body)
}

/// Whether an operation on these tensors would be recorded.
public func isRecording(_ tensors: Tensor?...) -> Bool {
  Recording.isOn && tensors.contains { $0?.node != nil }
}

extension Tensor {
  /// The result of an operation: recorded if recording is on and any input requires a gradient.
  static func recorded(
    _ storage: Storage, shape: [Int], from inputs: Tensor?..., propagate: @escaping Node.Propagate
  ) -> Tensor {
    let nodes = Recording.isOn ? inputs.compactMap { $0?.node } : []
    guard !nodes.isEmpty else { return Tensor(storage: storage, shape: shape) }
    return Tensor(storage: storage, shape: shape, node: Node(shape: shape, inputs: nodes, propagate: propagate))
  }
}
