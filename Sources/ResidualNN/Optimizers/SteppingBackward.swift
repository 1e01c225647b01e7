import ResidualTensor

extension Tensor {
  /// Differentiates the computation that led here, and has `optimizer` update each of its parameters as soon as the
  /// gradient is complete.
  ///
  /// Weights and optimizer become what `backward()`, `optimizer.step()` and `optimizer.zeroGradients()` would make of
  /// them, to the last bit. But a gradient is gone once it has been used: there is never room taken for all of them, and
  /// it comes from a cache, not from memory. Half of the threads compute the weight gradients of convolutions and, with the
  /// library's optimizers, the updates; the others go on to the layers before. Gradients that are there already, of earlier
  /// passes, are added to and used up too. Whoever wants to see all gradients before the step, `clipGradientNorm` for one,
  /// needs the three calls.
  ///
  /// PyTorch: the optimizer's step in `register_post_accumulate_grad_hook`.
  ///
  /// - Parameters:
  ///   - optimizer: What updates its parameters; others keep their gradients.
  ///   - upstream: The gradient of the objective with respect to this tensor, of the same shape; 1 for a scalar if left
  ///     out.
  public func backward(stepping optimizer: any Optimizer, _ upstream: Tensor? = nil) {
    let parameters = optimizer.parameters
    var batch = StepBatch(optimizer: optimizer)
    Threads.withWorkAside {
      backward(upstream, leaves: parameters.map { $0.value }) { batch.add($0) }
      // The rest of the batch, and what this pass did not reach and has a gradient from an earlier one.
      optimizer.step()
    }
    optimizer.zeroGradients()
  }
}

/// Parameters whose gradients are complete and that are updated together: enough to be worth handing out, few enough
/// for a cache.
private struct StepBatch {
  let optimizer: any Optimizer
  private var indices: [Int] = []
  private var count = 0

  init(optimizer: any Optimizer) { self.optimizer = optimizer }

  mutating func add(_ index: Int) {
    indices.append(index)
    count += optimizer.parameters[index].count
    if count >= 4 * updateGrain { step() }
  }

  mutating func step() {
    optimizer.step(indices)
    for index in indices { optimizer.parameters[index].zeroGrad() }
    indices = []
    count = 0
  }
}
