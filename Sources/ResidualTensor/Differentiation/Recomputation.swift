/// The tensor that `body` computes, without keeping what its backward pass needs: when the gradient arrives, `body` runs
/// again and is differentiated then.
///
/// Of a chain of blocks, each recomputed, only the tensors between them are kept: memory for a second forward pass
/// (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174). Results and gradients are the
/// same to the last bit. PyTorch: `torch.utils.checkpoint.checkpoint`.
///
///     for block in blocks { y = recomputing { [y] in block(y) } }
///
/// `body` may use any tensors and parameters of its surroundings; what requires a gradient among them gets it. It must
/// compute the same each time: random numbers are drawn again as they were, precision and default generator are those of
/// the first time, and batch norms count their batch once. A module of your own that changes state in its forward pass
/// asks ``isRecomputing``.
///
/// - Parameters:
///   - condition: Whether to recompute; otherwise `body` is recorded like anything else.
///   - body: The computation; called at once, and again by `backward`.
public func recomputing(if condition: Bool = true, _ body: @escaping () -> Tensor) -> Tensor {
  guard condition, Recording.mode == .on else { return body() }
  let lastNumber = Node.lastNumber
  let draws = GeneratorJournal()
  let y = Recording.$mode.withValue(.outline) { draws.record(body) }
  // Without a node of its own, `body` has computed nothing that requires a gradient.
  guard let outline = y.node, outline.number > lastNumber else { return y }
  let inputs = outline.ancestry(after: lastNumber).older
  let recomputation = Recomputation(body: body, shape: y.shape, draws: draws)
  return Tensor(
    storage: y.storage, shape: y.shape,
    node: Node(shape: y.shape, inputs: inputs, propagate: recomputation.propagate))
}

/// Whether a computation runs for the second time, inside ``recomputing(if:_:)``: what the first time has counted or
/// updated (a running statistic, say) must be left alone.
public var isRecomputing: Bool { Recomputation.isUnderWay }

/// A computation to be run again, with what decided its numbers the first time.
private struct Recomputation {
  @TaskLocal static var isUnderWay = false

  let body: () -> Tensor
  let shape: [Int]
  let draws: GeneratorJournal
  let precision = Precision.current
  let generator = Generator.default

  func propagate(_ gradient: Tensor) {
    let lastNumber = Node.lastNumber
    // What has been frozen since the first time takes no gradient.
    guard let node = again() else { return }
    precondition(
      node.shape == shape && node.number > lastNumber,
      "recomputing: the computation gave \(shape) and now gives \(node.shape); it must do the same each time")
    node.propagate(gradient, after: lastNumber)
  }

  /// The node of the result: nothing else of it is needed, and the memory of its elements may be.
  private func again() -> Node? {
    Recording.$mode.withValue(.on) {
      Self.$isUnderWay.withValue(true) {
        Generator.withDefault(generator) { withPrecision(precision) { draws.replay(body).node } }
      }
    }
  }
}
