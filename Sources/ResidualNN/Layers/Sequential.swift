import ResidualTensor

/// Layers one after the other; their keys are `0`, `1`, and so on.
///
/// PyTorch: `torch.nn.Sequential`.
public final class Sequential: Module, Layer {
  /// The layers in order.
  public let layers: [any Layer]
  /// Whether each layer keeps its input only and is computed again in the backward pass, see `recomputing`.
  ///
  /// PyTorch: `torch.utils.checkpoint.checkpoint_sequential`.
  public var recomputesLayers = false

  /// A chain of layers.
  public init(_ layers: any Layer...) { self.layers = layers }
  /// A chain of layers.
  public init(_ layers: [any Layer]) { self.layers = layers }

  /// The layers, numbered from 0.
  public override var children: [(key: String, module: Module)] {
    layers.enumerated().map { ("\($0)", $1) }
  }

  /// The layer at a position.
  public subscript(index: Int) -> any Layer { layers[index] }

  /// The input through all layers.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    layers.reduce(x) { y, layer in recomputing(if: recomputesLayers) { layer(y) } }
  }
}
