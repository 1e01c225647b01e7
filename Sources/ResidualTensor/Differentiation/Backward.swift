extension Tensor {
  /// Differentiates the computation that led here and adds to the gradient of every leaf it came from.
  ///
  /// The record is used up on the way: what the operations had kept is freed as soon as it has been used.
  /// PyTorch: `Tensor.backward`.
  ///
  /// - Parameters:
  ///   - upstream: The gradient of the objective with respect to this tensor, of the same shape; 1 for a scalar if left
  ///     out.
  ///   - retainGraph: Whether the record is kept, for another backward pass through it: of two losses over one network,
  ///     say. Weights must not change in between.
  public func backward(_ upstream: Tensor? = nil, retainGraph: Bool = false) {
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
    node.propagate(seed, retainGraph: retainGraph)
  }
}

extension Node {
  /// Differentiates the computation from here back to the nodes numbered up to `limit`, which receive their gradients
  /// and keep them.
  func propagate(_ gradient: Tensor, after limit: Int = 0, retainGraph: Bool = false) {
    withoutRecording {
      receive(gradient)
      // Nodes are numbered as they are made, and an operation is made after its inputs: descending numbers are a
      // topological order.
      for next in NodeSequence(remaining: ancestry(after: limit).newer.sorted { $0.number < $1.number }) {
        guard let (propagate, gradient) = next.consume(retaining: retainGraph) else { continue }
        propagate(gradient)
      }
    }
  }

  /// The nodes that this one came from, in no order: those with a number above `limit`, this one among them and leaves
  /// left out, and the first older ones on each path.
  func ancestry(after limit: Int) -> (newer: [Node], older: [Node]) {
    var seen: Set<ObjectIdentifier> = []
    var (newer, older): ([Node], [Node]) = ([self], [])
    var index = 0
    while index < newer.count {
      for input in newer[index].inputs {
        let isNewer = input.number > limit
        if isNewer && input.isLeaf || !seen.insert(ObjectIdentifier(input)).inserted { continue }
        if isNewer { newer.append(input) } else { older.append(input) }
      }
      index += 1
    }
    return (newer, older)
  }
}

/// Hands nodes out from the back and keeps none of them, so that a node dies as soon as it has been used.
private struct NodeSequence: Sequence, IteratorProtocol {
  var remaining: [Node]

  mutating func next() -> Node? { remaining.popLast() }
}
