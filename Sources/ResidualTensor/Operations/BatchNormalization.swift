import CKernels

/// Mean and biased variance of each channel of a batch, `[C]`.
public struct BatchStatistics {
  /// Mean over all images and positions.
  public let mean: Storage
  /// What rounding has cut off the mean, which matters where that is far from zero; nil for nothing.
  public let meanRest: Storage?
  /// Mean squared deviation (divided by the number of rows).
  public let variance: Storage
  /// How many values each channel had.
  public let rows: Int

  /// The statistics of `[N, C, ...]`: chunks of rows are reduced apart and merged in order, in double.
  public init(of x: Tensor) {
    let matrix = ChannelRows(x, operation: "batchNorm")
    let (channels, chunks) = (matrix.channels, matrix.chunks)
    let input = x.storage.pointer
    rows = matrix.rows
    mean = Storage(uninitialized: channels)
    let rest = Storage(uninitialized: channels)
    meanRest = rest
    variance = Storage(uninitialized: channels)
    let counts = (0..<chunks.number).map { chunks[$0].count }
    MemoryPool.withBlock(of: Double.self, count: 2 * chunks.number * channels) { means in
      let squares = means + chunks.number * channels
      Threads.run(chunks.number) { chunk in
        let range = chunks[chunk]
        rk_batch_norm_statistics(
          input + range.lowerBound * channels, range.count, channels, means + chunk * channels,
          squares + chunk * channels)
      }
      rk_batch_norm_merge(
        means, squares, counts, chunks.number, channels, mean.pointer, rest.pointer, variance.pointer)
    }
  }

  /// Statistics that are known already: the running ones.
  public init(mean: Storage, variance: Storage) {
    self.mean = mean
    meanRest = nil
    self.variance = variance
    rows = 0
  }
}

/// `[N, C, ...]` as the matrix [rows, channels] that it is in memory, cut into chunks of rows.
private struct ChannelRows {
  let rows: Int
  let channels: Int
  let chunks: Chunks

  init(_ x: Tensor, operation: String) {
    precondition(x.rank >= 2, "\(operation): the input must be [N, C, ...], not \(x.shape)")
    channels = x.shape[1]
    rows = x.count / max(1, channels)
    chunks = Chunks(count: rows, grain: max(16, elementwiseGrain / max(1, channels)))
  }

  func forEachChunk(_ body: (_ rows: Range<Int>, _ firstElement: Int, _ chunk: Int) -> Void) {
    Threads.run(chunks.number) { body(chunks[$0], chunks[$0].lowerBound * channels, $0) }
  }
}

/// What batch normalisation does besides normalising, in the same pass over memory.
public struct BatchNormTail {
  /// Added after normalising, of the input's shape: the shortcut of a residual block.
  public var residual: Tensor?
  /// Whether max(0, ·) comes last.
  public var relu: Bool

  /// Nothing but normalising unless asked for.
  public init(adding residual: Tensor? = nil, relu: Bool = false) {
    self.residual = residual
    self.relu = relu
  }
}

/// (x - mean) / sqrt(variance + epsilon) * weight + bias over the channels of `[N, C, ...]`, any rank from 2 up.
///
/// The variance is the biased one, as in PyTorch (`torch.nn.functional.batch_norm`) and the paper (Ioffe and Szegedy
/// 2015, arXiv:1502.03167). With `statistics.rows == 0` they count as constants: nothing is differentiated through
/// them.
public func batchNorm(
  _ x: Tensor, statistics: BatchStatistics, weight: Tensor?, bias: Tensor?, epsilon: Double,
  tail: BatchNormTail = .init()
) -> Tensor {
  let matrix = ChannelRows(x, operation: "batchNorm")
  let channels = matrix.channels
  for (name, tensor) in [("weight", weight), ("bias", bias)] {
    if let tensor {
      precondition(
        tensor.shape == [channels], "batchNorm: \(name) \(tensor.shape) for \(channels) channels of \(x.shape)")
    }
  }
  precondition(
    statistics.mean.count == channels, "batchNorm: statistics of \(statistics.mean.count) channels for input \(x.shape)"
  )
  if let residual = tail.residual {
    precondition(residual.shape == x.shape, "batchNorm: residual \(residual.shape) for input \(x.shape)")
  }
  let affine = NormalizationFactors(statistics, weight: weight?.storage, bias: bias?.storage, epsilon: epsilon)
  let output = Storage(uninitialized: x.count)
  let input = x.storage
  let residual = tail.residual?.storage
  let mask = tail.relu ? ReLUMask(rows: matrix.rows, channels: channels) : nil
  // A convolution comes next, as a rule, and wants its input rounded; one came before, and wants its gradient so.
  let rounds = Precision.current == .bfloat16
  let rounded = rounds ? BFloat16Buffer(uninitialized: output.count) : nil
  matrix.forEachChunk { rows, first, _ in
    rk_batch_norm_apply(
      input.pointer + first, rows.count, channels, statistics.mean.pointer, affine.scale.pointer, affine.shift.pointer,
      residual.map { $0.pointer + first }, output.pointer + first, mask?.row(rows.lowerBound),
      rounded.map { $0.pointer + first })
  }
  rounded?.keep(beside: output)
  let nodes = (x: x.node, weight: weight?.node, bias: bias?.node, residual: tail.residual?.node)
  if statistics.rows == 0 && nodes.weight == nil && nodes.bias == nil {
    // Frozen, it is a scale for each channel: the input is not kept.
    let keptOutput = tail.relu ? KeptStorage(output, for: "batchNorm") : nil
    return .recorded(output, shape: x.shape, from: x, tail.residual) { gradient in
      let g = keptOutput.map { reluGradient(gradient, of: $0.unchanged()) } ?? gradient
      nodes.residual?.receive(g)
      nodes.x?.receive(affine.scaled(g, matrix))
    }
  }
  // Running statistics may move on with another batch.
  let (keptInput, keptMean) = (KeptStorage(input, for: "batchNorm"), KeptStorage(statistics.mean, for: "batchNorm"))
  return .recorded(output, shape: x.shape, from: x, weight, bias, tail.residual) { gradient in
    let (g, input, mean) = (gradient.storage.pointer, keptInput.unchanged(), keptMean.unchanged())
    let partials = Storage(uninitialized: 2 * matrix.chunks.number * channels)
    let sums = Storage(uninitialized: 2 * channels)
    let (partialG, partialGX) = (partials.pointer, partials.pointer + matrix.chunks.number * channels)
    matrix.forEachChunk { rows, first, chunk in
      rk_batch_norm_backward_reduce(
        g + first, mask?.row(rows.lowerBound), input.pointer + first, rows.count, channels, mean.pointer,
        affine.inverseDeviation.pointer, partialG + chunk * channels, partialGX + chunk * channels)
    }
    rk_sum_partials(partialG, matrix.chunks.number, channels, false, sums.pointer)
    rk_sum_partials(partialGX, matrix.chunks.number, channels, false, sums.pointer + channels)
    let slopes = affine.slopes(sums: sums, rows: statistics.rows)
    nodes.bias?.receive(Tensor(storage: sums, offset: 0, shape: [channels]))
    nodes.weight?.receive(Tensor(storage: sums, offset: channels, shape: [channels]))
    guard nodes.x != nil || nodes.residual != nil else { return }
    let gradX = gradient.mayBeOverwritten ? gradient.storage : Storage(uninitialized: input.count)
    let rounded = rounds ? BFloat16Buffer(uninitialized: input.count) : nil
    let apply = { (gradResidual: UnsafeMutablePointer<Float>?, accumulate: Bool) in
      matrix.forEachChunk { rows, first, _ in
        rk_batch_norm_backward_apply(
          g + first, mask?.row(rows.lowerBound), input.pointer + first, rows.count, channels, mean.pointer,
          affine.scale.pointer, slopes.pointer, slopes.pointer + channels, gradX.pointer + first,
          rounded.map { $0.pointer + first }, gradResidual.map { $0 + first }, accumulate)
      }
      gradX.markChanged()
      rounded?.keep(beside: gradX)
    }
    if let residual = nodes.residual {
      residual.receive { apply($0, $1) }
    } else {
      apply(nil, false)
    }
    nodes.x?.receive(Tensor(storage: gradX, shape: gradient.shape))
  }
}

/// Batch normalisation as y = (x - mean) * scale + shift, and its derivative as grad_x = g * scale + (x - mean) * b + d,
/// per channel; `mean` is rounded, and what that cuts off is in shift and d.
private struct NormalizationFactors {
  let meanRest: Storage?
  let scale: Storage
  let shift: Storage
  let inverseDeviation: Storage

  init(_ statistics: BatchStatistics, weight: Storage?, bias: Storage?, epsilon: Double) {
    let channels = statistics.mean.count
    meanRest = statistics.meanRest
    scale = Storage(uninitialized: channels)
    shift = Storage(uninitialized: channels)
    inverseDeviation = Storage(uninitialized: channels)
    rk_batch_norm_factors(
      statistics.variance.pointer, meanRest?.pointer, weight?.pointer, bias?.pointer, epsilon, channels, scale.pointer,
      shift.pointer, inverseDeviation.pointer)
  }

  /// g * scale, the derivative by the input with constant statistics.
  func scaled(_ gradient: Tensor, _ matrix: ChannelRows) -> Tensor {
    let result = Storage(uninitialized: gradient.count)
    let g = gradient.storage.pointer
    let zeros = Storage(repeating: 0, count: matrix.channels)
    matrix.forEachChunk { rows, first, _ in
      rk_batch_norm_apply(
        g + first, rows.count, matrix.channels, zeros.pointer, scale.pointer, zeros.pointer, nil,
        result.pointer + first, nil, nil)
    }
    return Tensor(storage: result, shape: gradient.shape)
  }

  /// b and d, one after the other: grad_x = scale * (g - mean(g) - xhat * mean(g * xhat)); with constant statistics the two
  /// means are absent.
  ///
  /// `sums` are those of g, then those of g * xhat, which are made exact.
  func slopes(sums: Storage, rows: Int) -> Storage {
    let channels = scale.count
    let slopes = Storage(uninitialized: 2 * channels)
    rk_batch_norm_slopes(
      scale.pointer, inverseDeviation.pointer, meanRest?.pointer, rows, channels, sums.pointer, sums.pointer + channels,
      slopes.pointer, slopes.pointer + channels)
    return slopes
  }
}
