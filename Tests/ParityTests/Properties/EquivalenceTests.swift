import Residual
import Testing

extension Parity {
  /// Two ways to compute the same thing agree: fused and apart, folded and not, fast and by loops.
  @Suite struct Equivalences {
    private static let bound = 1e-6

    private func expectClose(
      _ value: Tensor?, _ expected: Tensor?, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let (value, expected) = (try #require(value), try #require(expected))
      let error = relativeError(TensorData(value), to: TensorData(expected))
      #expect(error <= Self.bound, "\(name): relative L2 difference \(error.short)", sourceLocation: sourceLocation)
    }

    /// A convolution with a batch norm whose numbers are not the initial ones.
    private func makeLayers() throws -> (Conv2d, BatchNorm2d) {
      let convolution = Conv2d(5, 19, kernelSize: 3, padding: 1, bias: true)
      convolution.weight.assign(randomTensor([19, 5, 3, 3], seed: 1))
      try #require(convolution.bias).assign(randomTensor([19], seed: 2))
      let norm = BatchNorm2d(19)
      try #require(norm.weight).assign(randomTensor([19], seed: 3))
      try #require(norm.bias).assign(randomTensor([19], seed: 4))
      for seed in UInt64(5)..<8 { _ = norm(convolution(randomTensor([4, 5, 6, 7], seed: seed))) }
      return (convolution, norm)
    }

    /// The fused tail of a block against the same layers one after the other: outputs, all gradients, statistics.
    @Test(arguments: [true, false], [(false, false), (false, true), (true, false), (true, true)])
    func fusedBlock(isTraining: Bool, tail: (hasResidual: Bool, hasReLU: Bool)) throws {
      var results: [[Tensor?]] = []
      for isFused in [true, false] {
        let (convolution, norm) = try makeLayers()
        if !isTraining { norm.eval() }
        let x = randomTensor([3, 5, 6, 7], seed: 9).requiringGrad()
        let residual = tail.hasResidual ? randomTensor([3, 19, 6, 7], seed: 10).requiringGrad() : nil
        let y: Tensor
        if isFused {
          y = convolution(x, normalizedBy: norm, adding: residual, relu: tail.hasReLU)
        } else {
          let normalized = norm(convolution(x))
          let sum = residual.map { normalized + $0 } ?? normalized
          y = tail.hasReLU ? relu(sum) : sum
        }
        y.backward(randomTensor(y.shape, seed: 11))
        results.append(
          [y, x.grad, convolution.weight.grad, norm.weight?.grad, norm.bias?.grad, norm.runningMean.value]
            + [norm.runningVar.value] + (tail.hasResidual ? [residual?.grad] : []))
      }
      for (index, (fused, apart)) in zip(results[0], results[1]).enumerated() {
        try expectClose(fused, apart, "result \(index)")
      }
    }

    @Test(arguments: [true, false], [true, false])
    func foldedBatchNorm(hasResidual: Bool, hasReLU: Bool) throws {
      let (convolution, norm) = try makeLayers()
      convolution.eval()
      norm.eval()
      let x = randomTensor([3, 5, 6, 7], seed: 9)
      let residual = hasResidual ? randomTensor([3, 19, 6, 7], seed: 10) : nil
      func run() -> Tensor { convolution(x, normalizedBy: norm, adding: residual, relu: hasReLU) }
      try expectClose(withoutRecording { run() }, run(), "output")

      // What was folded must not outlive a change of any of its parts.
      let parts = [convolution.weight, convolution.bias, norm.weight, norm.bias]
      for (index, part) in parts.enumerated() {
        let part = try #require(part)
        part.assign(randomTensor(part.shape, seed: UInt64(20 + index)))
        try expectClose(withoutRecording { run() }, run(), "output after a change of parameter \(index)")
      }
      for buffer in [norm.runningMean, norm.runningVar] {
        buffer.mutate { for index in $0.indices { $0[index] += 1 } }
        try expectClose(withoutRecording { run() }, run(), "output after a change of a buffer")
      }
    }

    /// A weight that is kept packed serves images of every size, for each of which it may be packed in another way.
    @Test func keptWeights() throws {
      let convolution = Conv2d(40, 48, kernelSize: 3, padding: 1)
      convolution.eval()
      for shape in [[2, 40, 2, 2], [70, 40, 2, 2], [3, 40, 8, 9], [1, 40, 2, 2], [70, 40, 2, 2]] {
        let x = randomTensor(shape, seed: 16)
        let expected = conv2dWithLoops(
          x, weight: convolution.weight.value, bias: convolution.bias?.value, options: .init(padding: 1))
        try expectClose(withoutRecording { convolution(x) }, expected, "\(shape)")
      }
    }

    /// Shapes in which tiles, taps and channels do not come out even.
    @Test(arguments: [
      ([2, 3, 8, 8], [5, 3, 3, 3], ConvolutionOptions(padding: 1)),
      ([7, 16, 5, 3], [33, 16, 3, 3], ConvolutionOptions(stride: 2, padding: 1)),
      ([3, 65, 4, 4], [31, 65, 1, 1], ConvolutionOptions()),
      ([64, 40, 1, 1], [70, 40, 3, 3], ConvolutionOptions(padding: 1)),
      ([5, 24, 2, 2], [48, 24, 3, 3], ConvolutionOptions(stride: 2, padding: 1)),
      ([2, 1, 29, 31], [17, 1, 7, 7], ConvolutionOptions(stride: 2, padding: 3)),
      ([2, 4, 3, 5], [2, 4, 3, 3], ConvolutionOptions(padding: 3)),
      ([1, 2, 2, 9], [3, 2, 5, 1], ConvolutionOptions(stride: Size2d(3, 2), padding: Size2d(2, 0))),
    ])
    func convolutionByLoops(input: [Int], weight: [Int], options: ConvolutionOptions) throws {
      let results = try [conv2d, conv2dWithLoops].map { convolve in
        let x = randomTensor(input, seed: 12).requiringGrad()
        let w = Parameter(randomTensor(weight, seed: 13))
        let b = Parameter(randomTensor([weight[0]], seed: 14))
        let y = convolve(x, w.value, b.value, options)
        y.backward(randomTensor(y.shape, seed: 15))
        return try [y, #require(x.grad), #require(w.grad), #require(b.grad)]
      }
      for (name, (fast, slow)) in zip(["output", "input", "weight", "bias"], zip(results[0], results[1])) {
        try expectClose(fast, slow, name)
      }
    }
  }
}
