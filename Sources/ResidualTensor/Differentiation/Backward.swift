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
    let largest = leaves.map(\.count).max()
    var indices: [ObjectIdentifier: Int] = [:]
    for (index, leaf) in leaves.enumerated() {
      guard let node = leaf.node, node.isLeaf else { continue }
      indices[ObjectIdentifier(node)] = index
      node.largestAway = largest
    }
    defer { for leaf in leaves { leaf.node?.largestAway = nil } }
    node.propagate(seed, leaves: indices, whenComplete: body)
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
  /// and keep them; `whenComplete` gets the index of each of `leaves` as soon as its gradient is complete.
  func propagate(
    _ gradient: Tensor, after limit: Int = 0, retainGraph: Bool = false, leaves: [ObjectIdentifier: Int] = [:],
    whenComplete: (_ index: Int) -> Void = { _ in }
  ) {
    withoutRecording {
      receive(gradient)
      // Nodes are numbered as they are made, and an operation is made after its inputs: descending numbers are a
      // topological order.
      let nodes = ancestry(after: limit).newer.sorted { $0.number < $1.number }
      let lastUses = lastUses(of: leaves, in: nodes)
      for next in NodeSequence(remaining: nodes) {
        if let (propagate, gradient) = next.consume(retaining: retainGraph) { propagate(gradient) }
        lastUses[next.number]?.forEach(whenComplete)
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

/// The indices of the leaves that receive nothing more once a node has passed its gradient on, by that node's number;
/// `nodes` are in ascending order.
private func lastUses(of leaves: [ObjectIdentifier: Int], in nodes: [Node]) -> [Int: [Int]] {
  guard !leaves.isEmpty else { return [:] }
  var remaining = leaves
  var uses: [Int: [Int]] = [:]
  for node in nodes {
    for input in node.inputs where input.isLeaf {
      if let index = remaining.removeValue(forKey: ObjectIdentifier(input)) {
        uses[node.number, default: []].append(index)
      }
    }
  }
  return uses
}

/// Hands nodes out from the back and keeps none of them, so that a node dies as soon as it has been used.
private struct NodeSequence: Sequence, IteratorProtocol {
  var remaining: [Node]

  mutating func next() -> Node? { remaining.popLast() }
}
