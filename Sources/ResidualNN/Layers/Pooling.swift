import ResidualTensor

/// The largest value of each window of `[N, C, H, W]`.
///
/// PyTorch: `torch.nn.MaxPool2d`.
public final class MaxPool2d: Module, Layer {
  /// Size of the window.
  public let kernelSize: Size2d
  /// Step of the window.
  public let stride: Size2d
  /// Border that never wins.
  public let padding: Size2d

  /// The stride is the kernel's size unless given.
  public init(kernelSize: Size2d, stride: Size2d? = nil, padding: Size2d = 0) {
    self.kernelSize = kernelSize
    self.stride = stride ?? kernelSize
    self.padding = padding
  }

  /// `[N, C, H, W]` to `[N, C, OH, OW]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    maxPool2d(x, kernelSize: kernelSize, stride: stride, padding: padding)
  }

  /// Kernel, stride, padding.
  public override var argumentDescription: String {
    "kernelSize: \(kernelSize), stride: \(stride), padding: \(padding)"
  }
}

/// Mean over all positions, `[N, C, H, W]` to `[N, C, 1, 1]`.
///
/// PyTorch: `torch.nn.AdaptiveAvgPool2d(1)`.
public final class GlobalAveragePooling2d: Module, Layer {
  /// `[N, C, H, W]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { globalAveragePooling2d(x) }
}
