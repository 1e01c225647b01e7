import CKernels

private func requireRows(_ operation: String, _ x: Tensor) {
  precondition(x.rank == 2, "\(operation): the input must be [N, classes], not \(x.shape)")
}

/// exp(x) / sum(exp(x)) along the last dimension of `[N, classes]`, stable for large values.
///
/// PyTorch: `softmax(x, 1)`.
public func softmax(_ x: Tensor) -> Tensor {
  requireRows("softmax", x)
  let (rows, classes) = (x.shape[0], x.shape[1])
  let y = Storage(uninitialized: x.count)
  rk_softmax(x.storage.pointer, rows, classes, y.pointer)
  let (node, shape, kept) = (x.node, x.shape, KeptStorage(y, for: "softmax"))
  return .recorded(y, shape: shape, from: x) { gradient in
    let y = kept.unchanged()
    let result = Storage(uninitialized: y.count)
    rk_softmax_backward(gradient.storage.pointer, y.pointer, rows, classes, result.pointer)
    node?.receive(Tensor(storage: result, shape: shape))
  }
}

/// Mean over the rows of -log softmax(x)[label], from `[N, classes]` and class indices.
///
/// PyTorch: `cross_entropy`.
public func crossEntropy(_ logits: Tensor, _ labels: [Int]) -> Tensor {
  requireRows("crossEntropy", logits)
  let (rows, classes) = (logits.shape[0], logits.shape[1])
  precondition(labels.count == rows, "crossEntropy: \(labels.count) labels for logits of shape \(logits.shape)")
  if let index = labels.firstIndex(where: { !(0..<classes).contains($0) }) {
    preconditionFailure("crossEntropy: label \(labels[index]) at index \(index) is not one of the \(classes) classes")
  }
  let targets = labels.map(Int64.init)
  return meanLoss(
    logits,
    forward: { rk_cross_entropy($0, targets, rows, classes, $1, $2) },
    gradient: { probabilities, scale, result in
      rk_scale(probabilities, scale, rows * classes, result)
      for row in 0..<rows { result[row * classes + labels[row]] -= scale }
    })
}

/// Mean over the rows of -sum(target * log softmax(x)), from `[N, classes]` and probabilities of that shape.
///
/// PyTorch: `cross_entropy` with probabilities.
public func crossEntropy(_ logits: Tensor, probabilities target: Tensor) -> Tensor {
  requireRows("crossEntropy", logits)
  precondition(target.shape == logits.shape, "crossEntropy: targets \(target.shape) for logits \(logits.shape)")
  let (rows, classes) = (logits.shape[0], logits.shape[1])
  let targets = target.storage
  return meanLoss(
    logits,
    forward: { rk_cross_entropy_soft($0, targets.pointer, rows, classes, $1, $2) },
    gradient: { probabilities, scale, result in
      for row in 0..<rows {
        let offset = row * classes
        let mass = Float(rk_sum(targets.pointer + offset, classes))
        for c in offset..<offset + classes { result[c] = (probabilities[c] * mass - targets.pointer[c]) * scale }
      }
    })
}

private func meanLoss(
  _ logits: Tensor,
  forward: (UnsafePointer<Float>, _ probabilities: UnsafeMutablePointer<Float>, _ losses: UnsafeMutablePointer<Float>)
    -> Void,
  gradient: @escaping (UnsafePointer<Float>, _ scale: Float, _ result: UnsafeMutablePointer<Float>) -> Void
) -> Tensor {
  let rows = logits.shape[0]
  let probabilities = Storage(uninitialized: logits.count)
  let losses = Storage(uninitialized: rows)
  forward(logits.storage.pointer, probabilities.pointer, losses.pointer)
  let loss = Float(rk_sum(losses.pointer, rows) / Double(rows))
  let (node, shape) = (logits.node, logits.shape)
  return .recorded(Storage(repeating: loss, count: 1), shape: [], from: logits) { upstream in
    let result = Storage(uninitialized: shape.elementCount)
    gradient(probabilities.pointer, upstream.item / Float(rows), result.pointer)
    node?.receive(Tensor(storage: result, shape: shape))
  }
}
