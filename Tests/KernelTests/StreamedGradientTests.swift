import CKernels
import Testing

extension KernelTests {
  /// Large weight gradients go past the caches where their rows are aligned to vectors, which guarded memory never is.
  @Suite struct StreamedGradients {
    private static let shapes = [
      convolution(batch: 4, 1, 1, channels: (320, 256), kernel: (1, 1)),
      convolution(batch: 3, 2, 2, channels: (144, 72), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 5, 1, 1, channels: (100, 120), kernel: (3, 3), padding: (1, 1)),
    ]

    /// The result in memory that is aligned to a cache line, with what lies behind it.
    private func aligned(
      _ shape: rk_conv2d, tasks: (UnsafePointer<rk_conv2d>?) -> Int,
      _ body: (UnsafePointer<rk_conv2d>, UnsafeMutablePointer<Float>, Int) -> Void
    ) -> [Float] {
      let band = 64
      let memory = UnsafeMutableRawPointer.allocate(byteCount: (shape.weightCount + band) * 4, alignment: 64)
      defer { memory.deallocate() }
      let result = memory.bindMemory(to: Float.self, capacity: shape.weightCount + band)
      result.initialize(repeating: .sentinel, count: shape.weightCount + band)
      withUnsafePointer(to: shape) { for task in 0..<tasks($0) { body($0, result, task) } }
      #expect((0..<band).allSatisfy { result[shape.weightCount + $0].isSentinel }, "\(shape.name)")
      return Array(UnsafeBufferPointer(start: result, count: shape.weightCount))
    }

    @Test(arguments: shapes.indices) func haveTheBitsOfOthers(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index])
      onEveryInstructionSet { isa in
        let tasks = rk_conv2d_backward_weight_tasks
        let plain = example.run(example.shape.weightCount, initial: nil, tasks: tasks) {
          rk_conv2d_backward_weight($0, example.input, example.gradient, false, $1, $2)
        }
        example.expectSums(plain, example.weightGradient, terms: example.weightTerms, "\(isa)")
        let streamed = aligned(example.shape, tasks: tasks) {
          rk_conv2d_backward_weight($0, example.input, example.gradient, false, $1, $2)
        }
        expectSame(streamed, plain, "\(isa) \(example.shape.name)")
      }
    }

    @Test(arguments: shapes.indices) func haveTheBitsOfOthersInBFloat16(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index], bfloat16: true)
      let input = example.input.map(upperHalf)
      let gradient = example.gradient.map(upperHalf)
      onEveryInstructionSet { isa in
        let tasks = rk_conv2d_bf16_backward_weight_tasks
        let plain = example.run(example.shape.weightCount, initial: nil, tasks: tasks) {
          rk_conv2d_bf16_backward_weight($0, input, gradient, false, $1, $2)
        }
        let streamed = aligned(example.shape, tasks: tasks) {
          rk_conv2d_bf16_backward_weight($0, input, gradient, false, $1, $2)
        }
        expectSame(streamed, plain, "\(isa) \(example.shape.name)")
      }
    }
  }
}
