@testable import ResidualTensor

/// Elements between -1 and 1, other ones for another seed.
func uniformTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  var scalars = [Float](repeating: 0, count: shape.elementCount)
  scalars.withUnsafeMutableBufferPointer { Generator(seed: seed).uniform(into: $0, from: -1, to: 1) }
  return Tensor(scalars, shape: shape)
}
