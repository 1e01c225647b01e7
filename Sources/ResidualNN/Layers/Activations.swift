import ResidualTensor

/// max(0, x).
///
/// PyTorch: `torch.nn.ReLU`.
public final class ReLU: Module, Layer {
  /// Any shape.
  public func callAsFunction(_ x: Tensor) -> Tensor { relu(x) }
}

/// 1 / (1 + exp(-x)).
///
/// PyTorch: `torch.nn.Sigmoid`.
public final class Sigmoid: Module, Layer {
  /// Any shape.
  public func callAsFunction(_ x: Tensor) -> Tensor { sigmoid(x) }
}

/// exp(x) / sum(exp(x)) over the classes of `[N, classes]`.
///
/// PyTorch: `torch.nn.Softmax(dim=1)`.
public final class Softmax: Module, Layer {
  /// `[N, classes]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { softmax(x) }
}

/// The input itself.
///
/// PyTorch: `torch.nn.Identity`.
public final class Identity: Module, Layer {
  /// Any shape.
  public func callAsFunction(_ x: Tensor) -> Tensor { x }
}

/// `[N, ...]` to `[N, everything else]`.
///
/// PyTorch: `torch.nn.Flatten`.
public final class Flatten: Module, Layer {
  /// Any shape with a batch dimension.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.flattened() }
}
