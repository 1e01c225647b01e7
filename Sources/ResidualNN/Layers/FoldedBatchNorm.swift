import ResidualTensor

/// A batch norm with its running statistics after a convolution, as one scale and shift for each channel, as long as
/// nothing that they come from changes.
///
/// norm(W x + b) = scale * W x + shift. The weights stay as they are: a folded copy would be as large again.
struct FoldedBatchNorm {
  let scale: Tensor
  let shift: Tensor
  private let versions: [Int]

  /// `existing` if nothing has changed since, else folded anew.
  static func current(_ existing: FoldedBatchNorm?, of norm: BatchNorm2d, after convolution: Conv2d) -> FoldedBatchNorm
  {
    let sources = [
      convolution.bias?.value, norm.weight?.value, norm.bias?.value, norm.runningMean.value, norm.runningVar.value,
    ]
    let versions = sources.map { $0?.storage.version ?? -1 }
    if let existing, existing.versions == versions { return existing }
    return FoldedBatchNorm(norm, after: convolution, versions: versions)
  }

  private init(_ norm: BatchNorm2d, after convolution: Conv2d, versions: [Int]) {
    let factors = norm.factors()
    let bias = convolution.bias?.value.scalars ?? [Float](repeating: 0, count: norm.features)
    scale = Tensor(factors.scale, shape: [norm.features])
    shift = Tensor((0..<norm.features).map { factors.shift[$0] + bias[$0] * factors.scale[$0] }, shape: [norm.features])
    self.versions = versions
  }
}
