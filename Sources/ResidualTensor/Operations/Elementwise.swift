import CKernels

/// Elements that one task of an elementwise operation handles: large enough to hide the hand-over, small enough to
/// share.
let elementwiseGrain = 32_768

/// A new storage filled by `kernel(range)` in parallel.
private func mapped(_ count: Int, _ kernel: (_ offset: Int, _ count: Int, _ out: UnsafeMutablePointer<Float>) -> Void)
  -> Storage
{
  let result = Storage(uninitialized: count)
  let out = result.pointer
  Threads.run(over: count, grain: elementwiseGrain) { kernel($0.lowerBound, $0.count, out + $0.lowerBound) }
  return result
}

private func requireEqualShapes(_ operation: String, _ a: Tensor, _ b: Tensor) {
  precondition(a.shape == b.shape, "\(operation): shapes \(a.shape) and \(b.shape) differ; nothing is broadcast")
}

/// Elementwise sum of tensors of one shape.
public func + (a: Tensor, b: Tensor) -> Tensor {
  requireEqualShapes("+", a, b)
  let (x, y) = (a.storage, b.storage)
  let sum = mapped(a.count) { rk_add(x.pointer + $0, y.pointer + $0, $1, $2) }
  let (nodeA, nodeB) = (a.node, b.node)
  return .recorded(sum, shape: a.shape, from: a, b) { gradient in
    nodeA?.receive(gradient)
    nodeB?.receive(gradient)
  }
}

/// Elementwise difference of tensors of one shape.
public func - (a: Tensor, b: Tensor) -> Tensor {
  requireEqualShapes("-", a, b)
  let (x, y) = (a.storage, b.storage)
  let difference = mapped(a.count) { rk_subtract(x.pointer + $0, y.pointer + $0, $1, $2) }
  let (nodeA, nodeB) = (a.node, b.node)
  return .recorded(difference, shape: a.shape, from: a, b) { gradient in
    nodeA?.receive(gradient)
    nodeB?.receive(scaled(gradient.storage, by: -1, shape: gradient.shape))
  }
}

/// Elementwise product of tensors of one shape.
public func * (a: Tensor, b: Tensor) -> Tensor {
  requireEqualShapes("*", a, b)
  let (x, y) = (a.storage, b.storage)
  let product = mapped(a.count) { rk_multiply(x.pointer + $0, y.pointer + $0, $1, $2) }
  let (nodeA, nodeB) = (a.node, b.node)
  let (keptX, keptY) = (KeptStorage(x, for: "*"), KeptStorage(y, for: "*"))
  return .recorded(product, shape: a.shape, from: a, b) { gradient in
    let (g, x, y) = (gradient.storage, keptX.unchanged(), keptY.unchanged())
    nodeA?.receive(
      Tensor(storage: mapped(g.count) { rk_multiply(g.pointer + $0, y.pointer + $0, $1, $2) }, shape: gradient.shape))
    nodeB?.receive(
      Tensor(storage: mapped(g.count) { rk_multiply(g.pointer + $0, x.pointer + $0, $1, $2) }, shape: gradient.shape))
  }
}

private func scaled(_ x: Storage, by scale: Float, shape: [Int]) -> Tensor {
  Tensor(storage: mapped(x.count) { rk_scale(x.pointer + $0, scale, $1, $2) }, shape: shape)
}

/// Every element times a number.
public func * (a: Tensor, scale: Float) -> Tensor {
  let node = a.node
  return .recorded(scaled(a.storage, by: scale, shape: a.shape).storage, shape: a.shape, from: a) { gradient in
    node?.receive(scaled(gradient.storage, by: scale, shape: gradient.shape))
  }
}

/// max(0, x), element by element; NaN stays NaN.
///
/// PyTorch: `torch.relu`.
public func relu(_ x: Tensor) -> Tensor {
  let input = x.storage
  let y = mapped(x.count) { rk_relu(input.pointer + $0, $1, $2) }
  let (node, kept) = (x.node, KeptStorage(y, for: "relu"))
  return .recorded(y, shape: x.shape, from: x) { node?.receive(reluGradient($0, of: kept.unchanged())) }
}

/// The gradient before a ReLU with the result `y`: zero where that is zero.
func reluGradient(_ gradient: Tensor, of y: Storage) -> Tensor {
  let g = gradient.storage.pointer
  return Tensor(
    storage: mapped(y.count) { rk_relu_backward(g + $0, y.pointer + $0, $1, $2) }, shape: gradient.shape)
}

/// 1 / (1 + exp(-x)), element by element.
///
/// PyTorch: `torch.sigmoid`.
public func sigmoid(_ x: Tensor) -> Tensor {
  let input = x.storage
  let y = mapped(x.count) { rk_sigmoid(input.pointer + $0, $1, $2) }
  let (node, kept) = (x.node, KeptStorage(y, for: "sigmoid"))
  return .recorded(y, shape: x.shape, from: x) { gradient in
    let (g, y) = (gradient.storage, kept.unchanged())
    node?.receive(
      Tensor(
        storage: mapped(g.count) { rk_sigmoid_backward(g.pointer + $0, y.pointer + $0, $1, $2) },
        shape: gradient.shape))
  }
}

extension Tensor {
  /// Sum of all elements, a scalar; added in double.
  ///
  /// PyTorch: `Tensor.sum`.
  public func sum() -> Tensor {
    let (x, shape, node) = (storage, shape, node)
    let total = Float(rk_sum(x.pointer, x.count))
    return .recorded(Storage(repeating: total, count: 1), shape: [], from: self) { gradient in
      node?.receive(Tensor(repeating: gradient.item, shape: shape))
    }
  }

  /// Mean of all elements, a scalar.
  ///
  /// PyTorch: `Tensor.mean`.
  public func mean() -> Tensor { sum() * (1 / Float(count)) }
}
