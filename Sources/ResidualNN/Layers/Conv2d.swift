import ResidualTensor

/// 2-d convolution as matrix multiplication over `[N, C, H, W]`.
///
/// PyTorch: `torch.nn.Conv2d`.
public class Conv2d: Module, Layer {
  /// `[out, in, KH, KW]`.
  @Registered public private(set) var weight: Parameter
  /// `[out]`; nil without bias.
  @Registered public private(set) var bias: Parameter?
  /// Stride and padding.
  public let options: ConvolutionOptions
  private var folded: FoldedBatchNorm?

  /// Weights start as PyTorch's: uniform within 1 / sqrt(in * KH * KW).
  public init(
    _ inputChannels: Int, _ outputChannels: Int, kernelSize: Size2d, stride: Size2d = 1, padding: Size2d = 0,
    bias: Bool = true
  ) {
    let shape = [outputChannels, inputChannels, kernelSize.height, kernelSize.width]
    (weight, self.bias) = convolutionParameters(shape: shape, bias: bias)
    options = ConvolutionOptions(stride: stride, padding: padding)
  }

  /// `[N, in, H, W]` to `[N, out, OH, OW]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    requireChannels(x, weight.shape[1], at: self)
    return conv2d(x, weight: weight.value, bias: bias?.value, options: options)
  }

  /// `max(0, norm(self(x)) + residual)` with each part optional: one block of a residual network.
  ///
  /// In training, normalising, adding and the ReLU are one pass over memory. Where nothing is recorded and `norm` uses
  /// running statistics, everything happens as the convolution's sums are complete.
  public func callAsFunction(
    _ x: Tensor, normalizedBy norm: BatchNorm2d?, adding residual: Tensor? = nil, relu: Bool = false
  ) -> Tensor {
    requireChannels(x, weight.shape[1], at: self)
    guard let norm else {
      let sum = residual.map { self(x) + $0 } ?? self(x)
      return relu ? ResidualTensor.relu(sum) : sum
    }
    let records = isRecording(x, weight.value, bias?.value, norm.weight?.value, norm.bias?.value, residual)
    if !norm.usesBatchStatistics && !records {
      let current = FoldedBatchNorm.current(folded, of: norm, after: self)
      folded = current
      return inferenceConv2d(
        x, weight: weight.value, scale: current.scale, bias: current.shift, residual: residual, relu: relu,
        options: options)
    }
    weight.value.storage.forgetDerived()  // packed for evaluation: as large as the weight, and soon stale
    return norm(self(x), tail: BatchNormTail(adding: residual, relu: relu))
  }

  /// Channels, kernel, stride, padding.
  public override var argumentDescription: String { convolutionDescription(weight, bias, options) }
}

/// The same layer computed by plain loops, slowly: what tests and benchmarks compare with.
public final class Conv2dWithLoops: Conv2d {
  /// `[N, in, H, W]` to `[N, out, OH, OW]`.
  public override func callAsFunction(_ x: Tensor) -> Tensor {
    requireChannels(x, weight.shape[1], at: self)
    return conv2dWithLoops(x, weight: weight.value, bias: bias?.value, options: options)
  }

  /// The block's parts one after the other, nothing folded.
  public override func callAsFunction(
    _ x: Tensor, normalizedBy norm: BatchNorm2d?, adding residual: Tensor? = nil, relu: Bool = false
  ) -> Tensor {
    let y = self(x)
    let normalized = norm.map { $0(y) } ?? y
    let sum = residual.map { normalized + $0 } ?? normalized
    return relu ? ResidualTensor.relu(sum) : sum
  }
}

private func convolutionParameters(shape: [Int], bias: Bool) -> (Parameter, Parameter?) {
  precondition(shape.allSatisfy { $0 > 0 }, "Conv2d: every size of the weight \(shape) must be positive")
  let fanIn = shape[1] * shape[2] * shape[3]
  let weight = Parameter(Tensor(repeating: 0, shape: shape))
  Initializer.kaimingUniform(negativeSlope: 5.squareRoot()).fill(weight)
  guard bias else { return (weight, nil) }
  let biases = Parameter(Tensor(repeating: 0, shape: [shape[0]]))
  Initializer.uniform(bound: 1 / Double(fanIn).squareRoot()).fill(biases)
  return (weight, biases)
}

private func convolutionDescription(_ weight: Parameter, _ bias: Parameter?, _ options: ConvolutionOptions) -> String {
  let kernel = Size2d(weight.shape[2], weight.shape[3])
  var parts = ["\(weight.shape[1]), \(weight.shape[0]), kernelSize: \(kernel)"]
  if options.stride != 1 { parts.append("stride: \(options.stride)") }
  if options.padding != 0 { parts.append("padding: \(options.padding)") }
  if bias == nil { parts.append("bias: false") }
  return parts.joined(separator: ", ")
}

/// Stops with a message that names the module when an image has the wrong number of channels.
func requireChannels(_ x: Tensor, _ channels: Int, at module: Module) {
  precondition(
    x.rank == 4 && x.shape[1] == channels,
    "\(module.location): expected [N, \(channels), H, W], got an input of shape \(x.shape)")
}
