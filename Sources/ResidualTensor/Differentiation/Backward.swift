extension Tensor {
  /// Differentiates the computation that led here and adds to the gradient of every leaf it came from.
  ///
  /// The record is used up on the way: what the operations had kept is freed as soon as it has been used.
  /// PyTorch: `Tensor.backward`.
  ///
  /// - Parameter upstream: The gradient of the objective with respect to this tensor, of the same shape; 1 for a scalar
  ///   if left out.
  public func backward(_ upstream: Tensor? = nil) {
    guard let node else {
      preconditionFailure(
        "backward: the tensor of shape \(shape) depends on nothing that requires a gradient, or was computed without recording"
      )
    }
    let seed: Tensor
    if let upstream {
      precondition(
        upstream.shape == shape, "backward: upstream gradient of shape \(upstream.shape) for a tensor of shape \(shape)"
      )
      seed = upstream.detached()
    } else {
      precondition(count == 1, "backward: a tensor of shape \(shape) is not a scalar; pass the upstream gradient")
      seed = Tensor(repeating: 1, shape: shape)
    }
    withoutRecording {
      node.receive(seed)
      for next in Self.reverseOrder(from: node) {
        guard let (propagate, gradient) = next.consume() else { continue }
        propagate(gradient)
      }
    }
  }

  /// Every node that `root` came from, latest first.
  ///
  /// Nodes are numbered as they are made, and an operation is made after its inputs: descending numbers are a
  /// topological order.
  private static func reverseOrder(from root: Node) -> NodeSequence {
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var nodes = [root]
    var index = 0
    while index < nodes.count {
      for input in nodes[index].inputs where seen.insert(ObjectIdentifier(input)).inserted { nodes.append(input) }
      index += 1
    }
    nodes.sort { $0.number < $1.number }
    return NodeSequence(remaining: nodes)
  }
}

/// Hands nodes out from the back and keeps none of them, so that a node dies as soon as it has been used.
private struct NodeSequence: Sequence, IteratorProtocol {
  var remaining: [Node]

  mutating func next() -> Node? { remaining.popLast() }
}
