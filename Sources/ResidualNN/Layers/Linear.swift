import ResidualTensor

/// `x Wᵀ + b` for `[N, in]`: a fully connected layer.
///
/// PyTorch: `torch.nn.Linear`.
public final class Linear: Module, Layer {
  /// `[out, in]`.
  @Registered public private(set) var weight: Parameter
  /// `[out]`; nil without bias.
  @Registered public private(set) var bias: Parameter?

  /// Weights and biases start as PyTorch's: uniform within 1 / sqrt(in).
  public init(_ inputFeatures: Int, _ outputFeatures: Int, bias: Bool = true) {
    precondition(inputFeatures > 0 && outputFeatures > 0, "Linear: \(inputFeatures) to \(outputFeatures) features")
    let weight = Parameter(Tensor(repeating: 0, shape: [outputFeatures, inputFeatures]))
    Initializer.kaimingUniform(negativeSlope: 5.squareRoot()).fill(weight)
    self.weight = weight
    guard bias else { return }
    let biases = Parameter(Tensor(repeating: 0, shape: [outputFeatures]))
    Initializer.uniform(bound: 1 / Double(inputFeatures).squareRoot()).fill(biases)
    self.bias = biases
  }

  /// `[N, in]` to `[N, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    precondition(
      x.rank == 2 && x.shape[1] == weight.shape[1],
      "\(location): expected [N, \(weight.shape[1])], got an input of shape \(x.shape)")
    return linear(x, weight: weight.value, bias: bias?.value)
  }

  /// Features in and out.
  public override var argumentDescription: String {
    "\(weight.shape[1]), \(weight.shape[0])\(bias == nil ? ", bias: false" : "")"
  }
}
