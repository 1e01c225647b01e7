import CKernels
import Testing

extension KernelTests {
  @Suite struct Conv2d {
    /// Those that are multiplied by Winograd's algorithm: tiles that stick out, no and wide padding, tails of panels,
    /// batches that blocks of rows cut, sums long enough for several blocks.
    private static let winogradShapes = [
      convolution(batch: 5, 8, 8, channels: (33, 70), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 1, 12, 15, channels: (32, 64), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 3, 10, 12, channels: (40, 100), kernel: (3, 3), padding: (0, 1)),
      convolution(batch: 2, 12, 10, channels: (34, 33), kernel: (3, 3), padding: (2, 0)),
      convolution(batch: 70, 6, 6, channels: (36, 32), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 2, 8, 10, channels: (300, 40), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 8, 7, 6, channels: (64, 260), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 2, 12, 10, channels: (700, 200), kernel: (3, 3), padding: (1, 1)),
    ]

    /// Those whose weight gradient is, too, and in how many tasks: groups of channels of unequal sizes, tiles that stick
    /// out, blocks of rows that cut a batch.
    private static let winogradGradients = [
      (convolution(batch: 2, 15, 13, channels: (144, 130), kernel: (3, 3), padding: (0, 0)), tasks: 9),
      (convolution(batch: 70, 4, 4, channels: (128, 129), kernel: (3, 3), padding: (1, 1)), tasks: 6),
      (convolution(batch: 4, 9, 14, channels: (128, 128), kernel: (3, 3), padding: (2, 1)), tasks: 8),
    ]

    /// Images of 2x2 have an algorithm of their own, forward and for the input gradient; the last also for the weight.
    private static let winogradImages = [
      convolution(batch: 65, 2, 2, channels: (33, 70), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 70, 2, 2, channels: (300, 40), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 200, 2, 2, channels: (64, 32), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 210, 2, 2, channels: (144, 130), kernel: (3, 3), padding: (1, 1)),
    ]

    @Test(arguments: winogradGradients.indices) func winogradIsUsedForTheWeight(_ index: Int) {
      let (shape, tasks) = Self.winogradGradients[index]
      // Other tasks than the definition's, which are 15 and 16 at these sizes.
      #expect(withUnsafePointer(to: shape) { rk_conv2d_backward_weight_tasks($0) } == tasks, "\(shape.name)")
    }

    @Test("A tap meets data where the definition has a product with it")
    func metTaps() {
      for (size, kernel, stride, padding) in combinations([1, 2, 3, 7], [1, 2, 3, 5], [1, 2, 3], [0, 1, 2, 4])
      where size + 2 * padding >= kernel {
        // The other axis has one more of everything.
        let shape = convolution(
          batch: 1, size, size + 1, channels: (1, 1), kernel: (kernel, kernel + 1), stride: (stride, stride + 1),
          padding: (padding, padding))
        var met = [Bool](repeating: false, count: shape.weightCount)
        shape.forEachProduct { _, _, weight in met[weight] = true }
        let found = met.indices.map { tap in withUnsafePointer(to: shape) { rk_conv2d_tap_meets_data($0, tap) } }
        #expect(found == met, "\(shape.name)")
      }
    }

    private func combinations(_ a: [Int], _ b: [Int], _ c: [Int], _ d: [Int]) -> [(Int, Int, Int, Int)] {
      a.flatMap { a in b.flatMap { b in c.flatMap { c in d.map { (a, b, c, $0) } } } }
    }

    @Test func winogradIsUsed() {
      for shape in Self.winogradShapes {
        #expect(withUnsafePointer(to: shape, rk_conv2d_arrangement) == 16, "\(shape.name)")
      }
      for shape in Self.winogradImages {
        #expect(withUnsafePointer(to: shape, rk_conv2d_arrangement) == 9, "\(shape.name)")
      }
      let tasks = Self.winogradImages.map { withUnsafePointer(to: $0, rk_conv2d_backward_weight_tasks) }
      #expect(tasks.last == 9, "the weight gradient has a task for each pair of 64 channels")
    }

    /// Every kind of edge: no, some and only padding; strides past the kernel; images of one position; tails of tiles and panels;
    /// sums long enough to be cut into blocks; gathered rows and columns.
    private static let shapes =
      winogradShapes + winogradGradients.map(\.0) + winogradImages + [
        convolution(batch: 8, 3, 5, channels: (4, 2), kernel: (3, 3), padding: (3, 3)),
        convolution(batch: 1, 1, 1, channels: (1, 1), kernel: (1, 1)),
        convolution(batch: 3, 1, 1, channels: (33, 100), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 64, 1, 1, channels: (100, 10), kernel: (1, 1)),
        convolution(batch: 5, 2, 2, channels: (64, 33), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 16, 2, 2, channels: (32, 64), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
        convolution(batch: 2, 4, 4, channels: (3, 5), kernel: (7, 7), padding: (3, 3)),
        convolution(batch: 13, 7, 7, channels: (3, 64), kernel: (7, 7), stride: (2, 2), padding: (3, 3)),
        convolution(batch: 9, 11, 11, channels: (1, 64), kernel: (7, 7), stride: (2, 2), padding: (3, 3)),
        convolution(batch: 1, 9, 10, channels: (5, 33), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 1, 9, 10, channels: (16, 48), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
        convolution(batch: 1, 14, 6, channels: (32, 16), kernel: (5, 1), stride: (1, 3), padding: (2, 0)),
        convolution(batch: 7, 8, 8, channels: (64, 64), kernel: (1, 1), stride: (2, 2)),
        convolution(batch: 3, 5, 7, channels: (33, 5), kernel: (2, 3), stride: (3, 2), padding: (1, 2)),
        convolution(batch: 2, 6, 5, channels: (700, 3), kernel: (1, 1), stride: (1, 2)),
        convolution(batch: 2, 3, 3, channels: (100, 64), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 4, 3, 3, channels: (5, 64), kernel: (2, 2), stride: (3, 3), padding: (3, 3)),
        convolution(batch: 40, 5, 5, channels: (32, 20), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 2, 2, 3, channels: (20, 300), kernel: (5, 5), padding: (2, 2)),
        convolution(batch: 3, 2, 2, channels: (600, 260), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 150, 1, 1, channels: (2048, 3), kernel: (1, 1)),
        convolution(batch: 4, 1, 1, channels: (320, 256), kernel: (1, 1)),
        convolution(batch: 3, 2, 2, channels: (144, 72), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 5, 1, 1, channels: (100, 120), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 6, 9, 9, channels: (17, 31), kernel: (3, 3), stride: (2, 1), padding: (0, 1)),
        // Windows of the output gradient, gathered for the weight's: blocks that cut a batch, several panels, no padding
        // and more than the kernel reaches.
        convolution(batch: 7, 9, 10, channels: (14, 5), kernel: (3, 3), padding: (1, 0)),
        convolution(batch: 3, 4, 5, channels: (15, 13), kernel: (3, 2), padding: (4, 3)),
        convolution(batch: 5, 8, 7, channels: (6, 1), kernel: (5, 1)),
        // Stretches of few steps, in sums that are put away and not.
        convolution(batch: 4, 9, 8, channels: (1, 70), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 3, 8, 9, channels: (20, 4), kernel: (5, 5), padding: (2, 2)),
        convolution(batch: 2, 7, 9, channels: (31, 40), kernel: (3, 3), stride: (1, 2), padding: (1, 1)),
        // Few input channels, whose gradient is computed by planes: several blocks of planes, several pieces of a line,
        // positions that no tap meets, a line of one image.
        convolution(batch: 3, 7, 20, channels: (3, 1200), kernel: (3, 3), stride: (2, 1), padding: (1, 1)),
        convolution(batch: 70, 4, 19, channels: (2, 5), kernel: (3, 3), padding: (1, 1)),
        convolution(batch: 4, 5, 6, channels: (1, 7), kernel: (1, 1), stride: (2, 2)),
        convolution(batch: 1, 3, 200, channels: (4, 9), kernel: (5, 4), stride: (1, 3), padding: (2, 6)),
        // The weight gradient from a packed panel of the input: rows a power of two apart, runs of a tap, several blocks.
        convolution(batch: 70, 3, 3, channels: (1024, 30), kernel: (1, 1), stride: (2, 2)),
        convolution(batch: 3, 7, 7, channels: (128, 132), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
        // The same from a copy of the output gradient: two blocks, a piece of a panel.
        convolution(batch: 70, 2, 2, channels: (70, 1024), kernel: (1, 1)),
        // The transposed product: all taps of one position, some, none; pieces of the input's channels, of a block of
        // output channels and of a panel of rows.
        convolution(batch: 70, 2, 3, channels: (20, 77), kernel: (2, 3)),
        convolution(batch: 33, 2, 2, channels: (270, 36), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
        convolution(batch: 5, 1, 1, channels: (3, 40), kernel: (1, 1), stride: (5, 5), padding: (1, 1)),
      ]

    @Test(arguments: shapes.indices) func agreesWithTheDefinition(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index])
      let shape = example.shape
      onEveryInstructionSet { isa in
        let forwardPack = example.packed(RK_PACK_FORWARD)
        let output = example.run(shape.outputCount, initial: nil, tasks: rk_conv2d_forward_tasks) {
          rk_conv2d_forward($0, example.input, forwardPack, nil, $1, $2)
        }
        example.expectSums(output, example.output, terms: example.forwardTerms, "\(isa) forward")

        let direct = example.run(shape.outputCount, initial: nil, tasks: rk_conv2d_forward_direct_tasks) {
          rk_conv2d_forward_direct($0, example.input, example.weight, nil, $1, $2)
        }
        example.expectSums(direct, example.output, terms: example.forwardTerms, "\(isa) forward, direct")

        if example.canBeTransposed {
          example.expectSums(
            example.transposed(nil), example.output, terms: example.forwardTerms, "\(isa) forward, transposed")
        }

        let gradientPack = example.packed(RK_PACK_BACKWARD_INPUT)
        let inputGradient = example.run(shape.inputCount, initial: nil, tasks: rk_conv2d_backward_input_tasks) {
          rk_conv2d_backward_input($0, example.gradient, gradientPack, false, $1, $2)
        }
        example.expectSums(inputGradient, example.inputGradient, terms: example.inputTerms, "\(isa) input gradient")

        let directGradient = example.run(
          shape.inputCount, initial: nil, tasks: rk_conv2d_backward_input_direct_tasks
        ) { rk_conv2d_backward_input_direct($0, example.gradient, example.weight, false, $1, $2) }
        example.expectSums(
          directGradient, example.inputGradient, terms: example.inputTerms, "\(isa) input gradient, direct")

        let weightGradient = example.run(
          shape.weightCount, initial: example.unmetTapsCleared, tasks: rk_conv2d_backward_weight_tasks
        ) {
          rk_conv2d_backward_weight($0, example.input, example.gradient, false, $1, $2)
        }
        example.expectSums(weightGradient, example.weightGradient, terms: example.weightTerms, "\(isa) weight gradient")
      }
    }

    @Test(arguments: shapes.indices) func accumulates(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index])
      let shape = example.shape
      let input = randomFloats(shape.inputCount, seed: 6)
      let weight = randomFloats(shape.weightCount, seed: 7)
      let inputSum = zip(input, example.inputGradient).map { Double($0) + $1 }
      let weightSum = zip(weight, example.weightGradient).map { Double($0) + $1 }
      onEveryInstructionSet { isa in
        let pack = example.packed(RK_PACK_BACKWARD_INPUT)
        let inputGradient = example.run(shape.inputCount, initial: input, tasks: rk_conv2d_backward_input_tasks) {
          rk_conv2d_backward_input($0, example.gradient, pack, true, $1, $2)
        }
        example.expectSums(inputGradient, inputSum, terms: example.inputTerms, "\(isa) input gradient")
        let direct = example.run(shape.inputCount, initial: input, tasks: rk_conv2d_backward_input_direct_tasks) {
          rk_conv2d_backward_input_direct($0, example.gradient, example.weight, true, $1, $2)
        }
        example.expectSums(direct, inputSum, terms: example.inputTerms, "\(isa) input gradient, direct")
        let weightGradient = example.run(shape.weightCount, initial: weight, tasks: rk_conv2d_backward_weight_tasks) {
          rk_conv2d_backward_weight($0, example.input, example.gradient, true, $1, $2)
        }
        example.expectSums(weightGradient, weightSum, terms: example.weightTerms, "\(isa) weight gradient")
      }
    }

    @Test(arguments: shapes.indices, Epilogue.combinations)
    func finishesWithTheEpilogue(_ index: Int, _ epilogue: Epilogue) {
      let example = ConvolutionExample(Self.shapes[index])
      onEveryInstructionSet { isa in
        let pack = example.packed(RK_PACK_FORWARD)
        let output = example.withEpilogue(epilogue) { kernel in
          example.run(example.shape.outputCount, initial: nil, tasks: rk_conv2d_forward_tasks) {
            rk_conv2d_forward($0, example.input, pack, kernel, $1, $2)
          }
        }
        example.expectSums(
          output, example.finished(epilogue), terms: example.forwardTerms, "\(isa) epilogue \(epilogue)")
        if example.canBeTransposed {
          example.expectSums(
            example.withEpilogue(epilogue) { example.transposed($0) }, example.finished(epilogue),
            terms: example.forwardTerms, "\(isa) transposed, epilogue \(epilogue)")
        }
      }
    }

    @Test func keepsNaNThroughReLU() {
      let shape = convolution(batch: 1, 1, 1, channels: (1, 3), kernel: (1, 1))
      onEveryInstructionSet { isa in
        let weight: [Float] = [.nan, 1, -1]
        let count = withUnsafePointer(to: shape) { rk_conv2d_packed_count($0, RK_PACK_FORWARD) }
        var packed = [Float](repeating: 0, count: count)
        var output = [Float](repeating: 7, count: 3)
        var epilogue = rk_epilogue(scale: nil, bias: nil, residual: nil, relu: true)
        withUnsafePointer(to: shape) {
          rk_conv2d_pack($0, RK_PACK_FORWARD, weight, &packed, 0)
          rk_conv2d_forward($0, [2], packed, &epilogue, &output, 0)
        }
        #expect(output[0].isNaN && output[1] == 2 && output[2] == 0, "\(isa)")
      }
    }

    @Test func keepsNaNThroughWinogradsReLU() {
      var example = ConvolutionExample(Self.winogradShapes[0])
      example.spoilFirstInput()
      onEveryInstructionSet { isa in
        let pack = example.packed(RK_PACK_FORWARD)
        var epilogue = rk_epilogue(scale: nil, bias: nil, residual: nil, relu: true)
        var output = [Float](repeating: 0, count: example.shape.outputCount)
        withUnsafePointer(to: example.shape) {
          for task in 0..<rk_conv2d_forward_tasks($0) {
            rk_conv2d_forward($0, example.input, pack, &epilogue, &output, task)
          }
        }
        #expect(output[0..<example.shape.out_channels].allSatisfy { $0.isNaN }, "\(isa)")
      }
    }

    @Test(arguments: shapes.indices) func loopsAgreeWithTheDefinition(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index])
      var output = [Float](repeating: .nan, count: example.shape.outputCount)
      var inputGradient = [Float](repeating: .nan, count: example.shape.inputCount)
      var weightGradient = [Float](repeating: .nan, count: example.shape.weightCount)
      withUnsafePointer(to: example.shape) {
        rk_conv2d_forward_loops($0, example.input, example.weight, nil, &output)
        rk_conv2d_backward_input_loops($0, example.gradient, example.weight, &inputGradient)
        rk_conv2d_backward_weight_loops($0, example.input, example.gradient, &weightGradient)
      }
      example.expectSums(output, example.output, terms: example.forwardTerms, "forward")
      example.expectSums(inputGradient, example.inputGradient, terms: example.inputTerms, "input gradient")
      example.expectSums(weightGradient, example.weightGradient, terms: example.weightTerms, "weight gradient")
    }
  }
}
