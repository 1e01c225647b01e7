import CKernels

/// Zeroes each element with the given probability and scales the rest by 1 / (1 - probability).
///
/// PyTorch: `torch.nn.functional.dropout`, with the same mask for the same generator state.
public func dropout(_ x: Tensor, probability: Double, generator: Generator = .default) -> Tensor {
  precondition((0...1).contains(probability), "dropout: \(probability) is no probability")
  var keep = [Float](repeating: 0, count: x.count)
  keep.withUnsafeMutableBufferPointer { generator.bernoulli(into: $0, probability: 1 - probability) }
  let mask = Tensor(keep, shape: x.shape)
  return x * mask * (probability < 1 ? Float(1 / (1 - probability)) : 0)
}
