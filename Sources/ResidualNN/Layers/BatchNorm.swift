import ResidualTensor

/// Batch normalisation over the channels of `[N, C, ...]`, any rank from 2 up (Ioffe and Szegedy 2015,
/// arXiv:1502.03167).
///
/// PyTorch: `torch.nn.BatchNorm1d`, `2d`, `3d`.
///
/// In training a batch is normalised with its own biased variance; the running variance gets the unbiased one.
open class BatchNorm: Module, Layer {
  /// Scale, `[C]`; nil without `affine`.
  @Registered public private(set) var weight: Parameter?
  /// Shift, `[C]`; nil without `affine`.
  @Registered public private(set) var bias: Parameter?
  /// Running mean, `[C]`.
  @Registered public private(set) var runningMean: Buffer
  /// Running unbiased variance, `[C]`.
  @Registered public private(set) var runningVar: Buffer
  /// Batches that have gone into the running statistics.
  @Registered public private(set) var numBatchesTracked: Counter
  /// Channels.
  public let features: Int
  /// Added to the variance under the root.
  public let epsilon: Double
  /// Share of a new batch in the running statistics; nil for their plain average over all batches.
  public let momentum: Double?
  private var isFrozen = false

  /// Scale 1, shift 0, running mean 0 and variance 1, as in PyTorch.
  public init(_ features: Int, epsilon: Double = 1e-5, momentum: Double? = 0.1, affine: Bool = true) {
    precondition(features > 0, "BatchNorm: \(features) features")
    self.features = features
    self.epsilon = epsilon
    self.momentum = momentum
    weight = affine ? Parameter(Tensor(repeating: 1, shape: [features])) : nil
    bias = affine ? Parameter(Tensor(repeating: 0, shape: [features])) : nil
    _runningMean = Registered(wrappedValue: Buffer(Tensor(repeating: 0, shape: [features])), "running_mean")
    _runningVar = Registered(wrappedValue: Buffer(Tensor(repeating: 1, shape: [features])), "running_var")
    _numBatchesTracked = Registered(wrappedValue: Counter(), "num_batches_tracked")
  }

  /// Whether the next call normalises with the batch's own statistics: in training, unless frozen.
  public var usesBatchStatistics: Bool { isTraining && !isFrozen }

  /// The normalised input, of the same shape.
  public func callAsFunction(_ x: Tensor) -> Tensor { self(x, tail: BatchNormTail()) }

  /// Normalises, adds a residual and applies a ReLU in one pass over memory, as `tail` asks.
  public func callAsFunction(_ x: Tensor, tail: BatchNormTail) -> Tensor {
    precondition(
      x.rank >= 2 && x.shape[1] == features,
      "\(location): expected [N, \(features), ...], got an input of shape \(x.shape)")
    let statistics: BatchStatistics
    if usesBatchStatistics {
      precondition(
        x.count / features > 1,
        "\(location): one value per channel in an input of shape \(x.shape) has no variance to train with; use a larger batch or image, or eval()"
      )
      statistics = BatchStatistics(of: x)
      if !isRecomputing { updateRunningStatistics(statistics) }
    } else {
      statistics = BatchStatistics(mean: runningMean.value.storage, variance: runningVar.value.storage)
    }
    return batchNorm(x, statistics: statistics, weight: weight?.value, bias: bias?.value, epsilon: epsilon, tail: tail)
  }

  /// Scale and shift that stand for the whole layer when it uses its running statistics.
  func factors() -> (scale: [Float], shift: [Float]) {
    let mean = runningMean.value.storage.pointer
    let variance = runningVar.value.storage.pointer
    let scale = (0..<features).map { c in
      Double(weight?.value.storage.pointer[c] ?? 1) / (Double(variance[c]) + epsilon).squareRoot()
    }
    let shift = (0..<features).map { c in Double(bias?.value.storage.pointer[c] ?? 0) - Double(mean[c]) * scale[c] }
    return (scale.map { Float($0) }, shift.map { Float($0) })
  }

  /// running = (1 - momentum) * running + momentum * batch, the variance with n / (n - 1).
  private func updateRunningStatistics(_ statistics: BatchStatistics) {
    numBatchesTracked.value &+= 1  // a file may have filled it to the brim
    let share = momentum ?? 1 / Double(numBatchesTracked.value)
    let unbiased = Double(statistics.rows) / Double(statistics.rows - 1)
    runningMean.mutate { mean in
      for c in 0..<features {
        let new = Double(statistics.mean.pointer[c]) + Double(statistics.meanRest?.pointer[c] ?? 0)
        mean[c] = Float((1 - share) * Double(mean[c]) + share * new)
      }
    }
    runningVar.mutate { variance in
      for c in 0..<features {
        let new = Double(statistics.variance.pointer[c]) * unbiased
        variance[c] = Float((1 - share) * Double(variance[c]) + share * new)
      }
    }
  }

  /// A frozen batch norm uses and keeps its running statistics, also through `train()`.
  public override func didChangeFreezing(_ isFrozen: Bool) { self.isFrozen = isFrozen }

  /// Channels, and what differs from PyTorch's defaults.
  public override var argumentDescription: String {
    var parts = ["\(features)"]
    if epsilon != 1e-5 { parts.append("epsilon: \(epsilon)") }
    if momentum != 0.1 { parts.append("momentum: \(momentum.map { "\($0)" } ?? "nil")") }
    return parts.joined(separator: ", ")
  }
}

/// Batch normalisation of features `[N, C]` or sequences `[N, C, L]`.
///
/// PyTorch: `torch.nn.BatchNorm1d`.
public final class BatchNorm1d: BatchNorm {}

/// Batch normalisation of images `[N, C, H, W]`.
///
/// PyTorch: `torch.nn.BatchNorm2d`.
public final class BatchNorm2d: BatchNorm {}
