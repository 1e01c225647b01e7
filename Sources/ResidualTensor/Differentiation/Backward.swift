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
    let (node, seed) = startOfBackward(upstream)
    node.propagate(seed, retainGraph: retainGraph)
  }

  /// Differentiates like ``backward(_:retainGraph:)`` and says of each of `leaves`, by its index, when its gradient is
  /// complete.
  ///
  /// From then on nothing looks at the leaf's value any more, and `body` may change it. A gradient that goes to one of
  /// these leaves lies in memory of its own, for as long as it is not cleared: memory that gradients take in turn is still
  /// in a cache. PyTorch: `Tensor.register_post_accumulate_grad_hook`.
  public func backward(_ upstream: Tensor? = nil, leaves: [Tensor], whenComplete body: (_ index: Int) -> Void) {
    let (node, seed) = startOfBackward(upstream)
    let largest = leaves.reduce(0) { max($0, $1.count) }
    for (index, leaf) in leaves.enumerated() {
      if let node = leaf.node, node.isLeaf { node.awaited = AwaitedGradient(index: index, largest: largest) }
    }
    defer { for leaf in leaves { leaf.node?.awaited = nil } }
    node.propagate(seed, reportsAwaited: true, whenComplete: body)
  }

  /// Where the backward pass begins, and with which gradient.
  private func startOfBackward(_ upstream: Tensor?) -> (node: Node, gradient: Tensor) {
    guard let node else {
      preconditionFailure(
        "backward: the tensor of shape \(shape) depends on nothing that requires a gradient, or was computed without recording"
      )
    }
    guard let upstream else {
      precondition(count == 1, "backward: a tensor of shape \(shape) is not a scalar; pass the upstream gradient")
      return (node, Tensor(repeating: 1, shape: shape))
    }
    precondition(
      upstream.shape == shape, "backward: upstream gradient of shape \(upstream.shape) for a tensor of shape \(shape)")
    return (node, upstream.detached())
  }
}

extension Node {
  /// Differentiates the computation from here back to the nodes numbered up to `limit`, which receive their gradients
  /// and keep them; when asked for, `whenComplete` gets the index of each leaf that is awaited as soon as its gradient is
  /// complete.
  func propagate(
    _ gradient: Tensor, after limit: Int = 0, retainGraph: Bool = false, reportsAwaited: Bool = false,
    whenComplete: (_ index: Int) -> Void = { _ in }
  ) {
    withoutRecording {
      receive(gradient)
      // Nodes are numbered as they are made, and an operation is made after its inputs: descending numbers are a
      // topological order.
      let nodes = ancestry(after: limit).newer.sorted { $0.number < $1.number }
      var lastUses = reportsAwaited ? lastUses(of: nodes) : []
      for next in NodeSequence(remaining: nodes) {
        if let (propagate, gradient) = next.consume(retaining: retainGraph) { propagate(gradient) }
        while let use = lastUses.last, use.number == next.number {
          lastUses.removeLast()
          whenComplete(use.leaf)
        }
      }
    }
  }

  /// The nodes that this one came from, in no order: those with a number above `limit`, this one among them and leaves
  /// left out, and the first older ones on each path.
  func ancestry(after limit: Int) -> (newer: [Node], older: [Node]) {
    let walk = Node.newWalk()
    var seen: Set<ObjectIdentifier> = []
    var (newer, older): ([Node], [Node]) = ([self], [])
    var index = 0
    while index < newer.count {
      for input in newer[index].inputs {
        if input.number <= limit {
          if seen.insert(ObjectIdentifier(input)).inserted { older.append(input) }
        } else if !input.isLeaf && input.isNew(in: walk) {
          newer.append(input)
        }
      }
      index += 1
    }
    return (newer, older)
  }
}

/// Which of the leaves that are awaited receive nothing more once a node, by its number, has passed its gradient on;
/// `nodes` are in ascending order, and so are the numbers.
private func lastUses(of nodes: [Node]) -> [(number: Int, leaf: Int)] {
  var uses: [(number: Int, leaf: Int)] = []
  for node in nodes {
    for input in node.inputs where input.isLeaf {
      if let index = input.awaited?.takeIndex() { uses.append((node.number, index)) }
    }
  }
  return uses
}

/// Hands nodes out from the back and keeps none of them, so that a node dies as soon as it has been used.
private struct NodeSequence: Sequence, IteratorProtocol {
  var remaining: [Node]

  mutating func next() -> Node? { remaining.popLast() }
}
