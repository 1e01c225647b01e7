import Residual
import Testing

extension Parity {
  /// Every operation's backward pass against central differences of its forward pass: no PyTorch takes part.
  @Suite struct Gradients {
    @Test func sums() {
      let (a, b) = (randomTensor([2, 3, 2, 2], seed: 1), randomTensor([2, 3, 2, 2], seed: 2))
      expectGradients(of: { $0[0] + $0[1] }, at: [a, b])
      expectGradients(of: { $0[0] - $0[1] }, at: [a, b])
      expectGradients(of: { $0[0] + $0[0] }, at: [a])
      expectGradients(of: { ($0[0] - $0[0] * 0.5) - $0[1] }, at: [a, b])
    }

    @Test func products() {
      let (a, b) = (randomTensor([3, 5], seed: 1), randomTensor([3, 5], seed: 2))
      expectGradients(of: { $0[0] * $0[1] }, at: [a, b])
      expectGradients(of: { $0[0] * $0[0] * $0[1] }, at: [a, b])
      expectGradients(of: { $0[0] * -2.5 }, at: [a])
    }

    @Test func reductions() {
      let x = randomTensor([2, 3, 3, 2], seed: 3)
      expectGradients(of: { ($0[0] * $0[0]).sum() }, at: [x])
      expectGradients(of: { ($0[0] * $0[0]).mean() }, at: [x])
    }

    @Test func activations() {
      expectGradients(of: { relu($0[0]) }, at: [spacedTensor([2, 3, 3, 4], seed: 4)])
      expectGradients(of: { sigmoid($0[0]) }, at: [randomTensor([3, 7], seed: 5)])
      expectGradients(of: { softmax($0[0]) }, at: [randomTensor([4, 5], seed: 6)])
    }

    @Test func losses() {
      let logits = randomTensor([4, 5], seed: 7)
      expectGradients(of: { crossEntropy($0[0], [0, 4, 2, 2]) }, at: [logits])
      let target = softmax(randomTensor([4, 5], seed: 8))
      expectGradients(of: { crossEntropy($0[0], probabilities: target) }, at: [logits])
      // Rows that do not sum to 1: PyTorch allows them, and the gradient has their sum in it.
      expectGradients(of: { crossEntropy($0[0], probabilities: target * 0.7) }, at: [logits])
    }

    @Test(arguments: [
      ([2, 3, 4, 5], [4, 3, 3, 3], ConvolutionOptions(stride: 1, padding: 1)),
      ([2, 3, 5, 4], [4, 3, 3, 3], ConvolutionOptions(stride: 2, padding: 1)),
      ([3, 4, 4, 3], [2, 4, 1, 1], ConvolutionOptions(stride: 2)),
      ([1, 2, 1, 2], [3, 2, 5, 3], ConvolutionOptions(stride: Size2d(2, 1), padding: 2)),
    ])
    func convolutions(input: [Int], weight: [Int], options: ConvolutionOptions) {
      let arguments = [
        randomTensor(input, seed: 9), randomTensor(weight, seed: 10), randomTensor([weight[0]], seed: 11),
      ]
      expectGradients(of: { conv2d($0[0], weight: $0[1], bias: $0[2], options: options) }, at: arguments)
      expectGradients(of: { conv2dWithLoops($0[0], weight: $0[1], bias: $0[2], options: options) }, at: arguments)
    }

    @Test func linearLayer() {
      let arguments = [randomTensor([3, 5], seed: 12), randomTensor([4, 5], seed: 13), randomTensor([4], seed: 14)]
      expectGradients(of: { linear($0[0], weight: $0[1], bias: $0[2]) }, at: arguments)
      expectGradients(of: { linear($0[0], weight: $0[1]) }, at: Array(arguments.prefix(2)))
    }

    @Test func pooling() {
      expectGradients(
        of: { maxPool2d($0[0], kernelSize: 3, stride: 2, padding: 1) }, at: [spacedTensor([2, 3, 5, 4], seed: 15)])
      expectGradients(
        of: { maxPool2d($0[0], kernelSize: Size2d(1, 2)) }, at: [spacedTensor([1, 2, 2, 5], seed: 16)])
      expectGradients(of: { globalAveragePooling2d($0[0]) }, at: [randomTensor([2, 3, 3, 5], seed: 17)])
    }

    @Test func identityShortcuts() {
      expectGradients(
        of: { subsampledWithZeroChannels($0[0], stride: 2, channels: 6) }, at: [randomTensor([2, 3, 5, 4], seed: 18)])
      expectGradients(
        of: { subsampledWithZeroChannels($0[0], stride: Size2d(1, 3), channels: 3) },
        at: [randomTensor([2, 3, 3, 4], seed: 19)])
    }

    @Test func reshaping() {
      let x = randomTensor([2, 3, 2, 4], seed: 20)
      expectGradients(of: { $0[0].flattened() * $0[1] }, at: [x, randomTensor([2, 24], seed: 21)])
      expectGradients(of: { $0[0].reshaped([4, 2, 3, 2]) * $0[1] }, at: [x, randomTensor([4, 2, 3, 2], seed: 22)])
      expectGradients(of: { $0[0].reshaped([48]) * $0[1] }, at: [x, randomTensor([48], seed: 23)])
    }

    @Test(arguments: [0.3, 0, 1])
    func dropping(probability: Double) {
      let x = randomTensor([3, 4, 2, 2], seed: 24)
      expectGradients(of: { dropout($0[0], probability: probability, generator: Generator(seed: 5)) }, at: [x])
    }

    /// With the batch's own statistics, through which the gradient flows too, and with given ones.
    @Test(arguments: [true, false], [[4, 3], [3, 2, 2, 3]])
    func normalization(usesBatch: Bool, shape: [Int]) {
      let channels = shape[1]
      let known = BatchStatistics(
        mean: randomTensor([channels], seed: 25).storage, variance: Tensor(repeating: 1.7, shape: [channels]).storage)
      func statistics(_ x: Tensor) -> BatchStatistics { usesBatch ? BatchStatistics(of: x) : known }
      let x = randomTensor(shape, seed: 26)
      let (weight, bias) = (randomTensor([channels], seed: 27), randomTensor([channels], seed: 28))
      expectGradients(
        of: { batchNorm($0[0], statistics: statistics($0[0]), weight: nil, bias: nil, epsilon: 1e-5) }, at: [x])
      expectGradients(
        of: { batchNorm($0[0], statistics: statistics($0[0]), weight: $0[1], bias: $0[2], epsilon: 1e-3) },
        at: [x, weight, bias])
      expectGradients(
        of: {
          batchNorm(
            $0[0], statistics: statistics($0[0]), weight: $0[1], bias: $0[2], epsilon: 1e-5,
            tail: BatchNormTail(adding: $0[3]))
        }, at: [x, weight, bias, randomTensor(shape, seed: 29)])
    }

    /// The ReLU in the same pass.
    ///
    /// The residual is large enough to decide its side alone.
    @Test(arguments: [true, false], [[4, 3], [3, 2, 2, 3]])
    func normalizationWithReLU(usesBatch: Bool, shape: [Int]) {
      let channels = shape[1]
      let known = BatchStatistics(
        mean: randomTensor([channels], seed: 25).storage, variance: Tensor(repeating: 1.7, shape: [channels]).storage)
      func statistics(_ x: Tensor) -> BatchStatistics { usesBatch ? BatchStatistics(of: x) : known }
      let arguments = [
        randomTensor(shape, seed: 30), randomTensor([channels], seed: 31), randomTensor([channels], seed: 32),
        Tensor((0..<shape.elementCount).map { $0 % 3 == 0 ? -16 : 16 }, shape: shape),
      ]
      expectGradients(
        of: {
          batchNorm(
            $0[0], statistics: statistics($0[0]), weight: $0[1], bias: $0[2], epsilon: 1e-5,
            tail: BatchNormTail(adding: $0[3], relu: true))
        }, at: arguments, tolerance: 1e-3)
      // Without a residual, biases of ±16 do.
      let bias = Tensor((0..<channels).map { $0 % 2 == 0 ? 16 : -16 }, shape: [channels])
      expectGradients(
        of: {
          batchNorm(
            $0[0], statistics: statistics($0[0]), weight: $0[1], bias: $0[2], epsilon: 1e-5,
            tail: BatchNormTail(relu: true))
        }, at: [arguments[0], arguments[1], bias], tolerance: 1e-3)
    }
  }
}
