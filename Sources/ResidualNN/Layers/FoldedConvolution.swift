import ResidualTensor

/// A convolution's weights with a batch norm's running statistics multiplied in, as long as neither changes.
///
/// norm(conv(x)) = scale * (W x + b - mean) + shift is a convolution with weights scale * W.
struct FoldedConvolution {
  let weight: Tensor
  let bias: Tensor
  private let versions: [Int]

  /// `existing` if nothing has changed since, else folded anew.
  static func current(_ existing: FoldedConvolution?, of convolution: Conv2d, _ norm: BatchNorm2d) -> FoldedConvolution
  {
    let sources = [
      convolution.weight.value, convolution.bias?.value, norm.weight?.value, norm.bias?.value, norm.runningMean.value,
      norm.runningVar.value,
    ]
    let versions = sources.map { $0?.storage.version ?? -1 }
    if let existing, existing.versions == versions { return existing }
    return FoldedConvolution(convolution, norm, versions: versions)
  }

  private init(_ convolution: Conv2d, _ norm: BatchNorm2d, versions: [Int]) {
    let source = convolution.weight.value
    let (outputs, inputs) = (source.shape[0], source.shape[1])
    let factors = norm.factors()
    let folded = Storage(uninitialized: source.count)
    // In memory a weight is [KH, KW, O, I]: every row of I floats belongs to one output channel.
    Threads.run(over: source.count / inputs, grain: max(1, 16_384 / inputs)) { rows in
      for row in rows {
        let scale = factors.scale[row % outputs]
        for i in row * inputs..<(row + 1) * inputs { folded.pointer[i] = source.storage.pointer[i] * scale }
      }
    }
    let biases = (0..<outputs).map {
      factors.shift[$0] + (convolution.bias?.value.storage.pointer[$0] ?? 0) * factors.scale[$0]
    }
    weight = Tensor(storage: folded, shape: source.shape)
    bias = Tensor(biases, shape: [outputs])
    self.versions = versions
  }
}
