import Testing

@testable import ResidualTensor

@Suite("bfloat16 in evaluation")
struct MixedPrecisionTests {
  @Test("What a convolution rounds for the next one is what the next one would round", arguments: [false, true])
  func keptBesideTheResult(changes: Bool) {
    let x = uniformTensor([5, 16, 6, 7], seed: 1)
    let weight = uniformTensor([48, 16, 3, 3], seed: 2)
    let residual = uniformTensor([5, 48, 6, 7], seed: 3)
    let next = uniformTensor([20, 48, 3, 3], seed: 4)
    func convolve(_ x: Tensor, _ weight: Tensor, adding residual: Tensor?) -> Tensor {
      withPrecision(.bfloat16) {
        inferenceConv2d(
          x, weight: weight, scale: nil, bias: nil, residual: residual, relu: true, options: .init(padding: 1))
      }
    }
    let y = convolve(x, weight, adding: residual)
    if changes { y.storage.mutate { $0[100] += 1 } }
    // A copy has nothing beside it.
    let expected = convolve(Tensor(y.scalars, shape: y.shape), next, adding: nil)
    #expect(convolve(y, next, adding: nil).scalars == expected.scalars)
  }
}
