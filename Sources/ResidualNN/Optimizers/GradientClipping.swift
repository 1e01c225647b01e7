import CKernels
import ResidualTensor

/// Scales the gradients of all parameters by one factor, so that together they are no longer than `maximum`, and returns
/// how long they were: the Euclidean norm of all their elements.
///
/// The factor is min(1, maximum / (norm + 1e-6)); parameters without a gradient count as zero. Call it between
/// `backward` and `step`. Source: Pascanu, Mikolov and Bengio 2012, arXiv:1211.5063. PyTorch:
/// `torch.nn.utils.clip_grad_norm_` with `error_if_nonfinite`.
///
/// - Throws: `OptimizerError` if `maximum` is negative or no number, or if a gradient is infinite or no number, which no
///   factor can mend; the gradients are then what they were.
@discardableResult
public func clipGradientNorm(_ parameters: [Parameter], maximum: Double) throws -> Double {
  guard maximum >= 0 else {
    throw OptimizerError(
      code: .invalidHyperparameter, message: "clipGradientNorm: maximum is \(maximum), but must be 0 or more")
  }
  let gradients = parameters.compactMap(\.grad)
  let squares = sumsOfSquares(gradients)
  let norm = squares.reduce(0, +).squareRoot()
  guard norm.isFinite else {
    let index = squares.firstIndex { !$0.isFinite } ?? 0
    throw OptimizerError(
      code: .gradientNotFinite,
      message: "clipGradientNorm: a gradient of shape \(gradients[index].shape) has elements that are infinite or no "
        + "numbers; use a smaller learning rate, or leave the step out")
  }
  let factor = Float(maximum / (norm + 1e-6))
  guard factor < 1 else { return norm }
  let pointers = gradients.map { $0.storage.mutate { $0.baseAddress } }
  let pieces = cutInPieces(gradients.map(\.count))
  Threads.run(pieces.count) { index in
    let (entry, range) = pieces[index]
    guard let start = pointers[entry].map({ $0 + range.lowerBound }) else { return }
    rk_scale(start, factor, range.count, start)
  }
  return norm
}

/// The sum of squares of each tensor, in double; the pieces' sums are added in order, whatever thread has made them.
private func sumsOfSquares(_ tensors: [Tensor]) -> [Double] {
  let pieces = cutInPieces(tensors.map(\.count))
  let partials = [Double](unsafeUninitializedCapacity: pieces.count) { partials, initialized in
    initialized = pieces.count
    guard let target = partials.baseAddress else { return }
    Threads.run(pieces.count) { index in
      let (entry, range) = pieces[index]
      target[index] = rk_sum_of_squares(tensors[entry].storage.pointer + range.lowerBound, range.count)
    }
  }
  var sums = [Double](repeating: 0, count: tensors.count)
  for (piece, partial) in zip(pieces, partials) { sums[piece.entry] += partial }
  return sums
}
