import CKernels
import Testing

extension KernelTests {
  @Suite struct Conv2dBF16 {
    /// Padding, strides, odd batches (half pairs of rows), tails of tiles and panels, sums cut into blocks.
    private static let shapes = [
      convolution(batch: 8, 3, 5, channels: (4, 2), kernel: (3, 3), padding: (3, 3)),
      convolution(batch: 1, 1, 1, channels: (2, 2), kernel: (1, 1)),
      convolution(batch: 3, 1, 1, channels: (34, 100), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 5, 2, 2, channels: (64, 34), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 16, 4, 4, channels: (32, 64), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
      convolution(batch: 1, 9, 10, channels: (6, 34), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 1, 9, 10, channels: (16, 48), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
      convolution(batch: 7, 8, 8, channels: (64, 64), kernel: (1, 1), stride: (2, 2)),
      convolution(batch: 2, 6, 5, channels: (1400, 4), kernel: (1, 1), stride: (1, 2)),
      convolution(batch: 13, 5, 5, channels: (32, 20), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 2, 2, 3, channels: (20, 300), kernel: (5, 5), padding: (2, 2)),
      convolution(batch: 4, 1, 1, channels: (320, 256), kernel: (1, 1)),
      convolution(batch: 3, 2, 2, channels: (144, 72), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 5, 1, 1, channels: (100, 120), kernel: (3, 3), padding: (1, 1)),
      convolution(batch: 3, 2, 2, channels: (640, 32), kernel: (3, 3), padding: (1, 1)),  // packed block by block
    ]

    /// AMX adds up in an order of its own.
    private static func hasTheBitsOfAll(_ isa: String) -> Bool { isa != "amx" }

    @Test(arguments: shapes.indices) func agreesWithTheDefinitionInTheSameBitsEverywhere(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index], bfloat16: true)
      let shape = example.shape
      let input = example.input.map(upperHalf)
      let gradient = example.gradient.map(upperHalf)
      var first: [[Float]] = []
      onEveryInstructionSet { isa in
        let forwardPack = packed(shape, RK_PACK_FORWARD, example.weight)
        let output = example.run(shape.outputCount, initial: nil, tasks: rk_conv2d_bf16_forward_tasks) {
          rk_conv2d_bf16_forward($0, input, forwardPack, nil, $1, nil, $2)
        }
        example.expectSums(output, example.output, terms: example.forwardTerms, "\(isa) forward")

        let gradientPack = packed(shape, RK_PACK_BACKWARD_INPUT, example.weight)
        let inputGradient = example.run(shape.inputCount, initial: nil, tasks: rk_conv2d_bf16_backward_input_tasks) {
          rk_conv2d_bf16_backward_input($0, gradient, gradientPack, false, $1, $2)
        }
        example.expectSums(inputGradient, example.inputGradient, terms: example.inputTerms, "\(isa) input gradient")

        let weightGradient = example.run(
          shape.weightCount, initial: example.unmetTapsCleared, tasks: rk_conv2d_bf16_backward_weight_tasks
        ) {
          rk_conv2d_bf16_backward_weight($0, input, gradient, false, $1, $2)
        }
        example.expectSums(weightGradient, example.weightGradient, terms: example.weightTerms, "\(isa) weight gradient")

        let direct = example.run(shape.outputCount, initial: nil, tasks: rk_conv2d_bf16_forward_direct_tasks) {
          rk_conv2d_bf16_forward_direct($0, input, example.weight, nil, $1, $2)
        }
        expectSame(direct, output, "\(isa) \(shape.name): bits of the direct forward pass")
        let directGradient = example.run(
          shape.inputCount, initial: nil, tasks: rk_conv2d_bf16_backward_input_direct_tasks
        ) { rk_conv2d_bf16_backward_input_direct($0, gradient, example.weight, false, $1, $2) }
        expectSame(directGradient, inputGradient, "\(isa) \(shape.name): bits of the direct input gradient")

        guard Self.hasTheBitsOfAll(isa) else { return }
        if first.isEmpty { first = [output, inputGradient, weightGradient] }
        expectSame(output, first[0], "\(isa) \(shape.name): bits of the forward pass")
        expectSame(inputGradient, first[1], "\(isa) \(shape.name): bits of the input gradient")
        expectSame(weightGradient, first[2], "\(isa) \(shape.name): bits of the weight gradient")
      }
    }

    @Test(arguments: shapes.indices) func accumulates(_ index: Int) {
      let example = ConvolutionExample(Self.shapes[index], bfloat16: true)
      let shape = example.shape
      let start = (input: randomFloats(shape.inputCount, seed: 6), weight: randomFloats(shape.weightCount, seed: 7))
      let input = example.input.map(upperHalf)
      let gradient = example.gradient.map(upperHalf)
      onEveryInstructionSet { isa in
        let pack = packed(shape, RK_PACK_BACKWARD_INPUT, example.weight)
        let inputGradient = example.run(
          shape.inputCount, initial: start.input, tasks: rk_conv2d_bf16_backward_input_tasks
        ) { rk_conv2d_bf16_backward_input($0, gradient, pack, true, $1, $2) }
        let inputSum = zip(start.input, example.inputGradient).map { Double($0) + $1 }
        example.expectSums(inputGradient, inputSum, terms: example.inputTerms, "\(isa) input gradient")
        let weightGradient = example.run(
          shape.weightCount, initial: start.weight, tasks: rk_conv2d_bf16_backward_weight_tasks
        ) { rk_conv2d_bf16_backward_weight($0, input, gradient, true, $1, $2) }
        let weightSum = zip(start.weight, example.weightGradient).map { Double($0) + $1 }
        example.expectSums(weightGradient, weightSum, terms: example.weightTerms, "\(isa) weight gradient")
      }
    }

    @Test(arguments: shapes.indices, Epilogue.combinations)
    func finishesWithTheEpilogueInTheSameBitsEverywhere(_ index: Int, _ epilogue: Epilogue) {
      let example = ConvolutionExample(Self.shapes[index], bfloat16: true)
      let input = example.input.map(upperHalf)
      var first: [Float] = []
      onEveryInstructionSet { isa in
        let pack = packed(example.shape, RK_PACK_FORWARD, example.weight)
        let rounded = Guarded<UInt16>(example.shape.outputCount)
        let output = example.withEpilogue(epilogue) { kernel in
          example.run(example.shape.outputCount, initial: nil, tasks: rk_conv2d_bf16_forward_tasks) {
            rk_conv2d_bf16_forward($0, input, pack, kernel, $1, rounded.pointer, $2)
          }
        }
        var wanted = [UInt16](repeating: 0, count: output.count)
        rk_float_to_bfloat16(output, output.count, &wanted)
        expectSame(rounded.values, wanted, "\(isa) \(example.shape.name): rounded, with the epilogue \(epilogue)")
        #expect(rounded.bandsIntact, "\(isa) \(example.shape.name): rounded")
        example.expectSums(
          output, example.finished(epilogue), terms: example.forwardTerms, "\(isa) epilogue \(epilogue)")
        guard Self.hasTheBitsOfAll(isa) else { return }
        if first.isEmpty { first = output }
        expectSame(output, first, "\(isa) \(example.shape.name): bits with the epilogue \(epilogue)")
      }
    }

    private func packed(_ shape: rk_conv2d, _ pack: rk_pack, _ weight: [Float]) -> [UInt16] {
      withUnsafePointer(to: shape) { shape in
        let packed = Guarded<UInt16>(rk_conv2d_bf16_packed_count(shape, pack) + 1)
        // The guarded memory starts at an odd element; pairs are aligned to their size.
        let aligned = Int(bitPattern: packed.pointer) % 4 == 0 ? packed.pointer : packed.pointer + 1
        for task in 0..<rk_conv2d_bf16_pack_tasks(shape, pack) {
          rk_conv2d_bf16_pack(shape, pack, weight, aligned, task)
        }
        #expect(packed.bandsIntact)
        let count = rk_conv2d_bf16_packed_count(shape, pack)
        return Array(UnsafeBufferPointer(start: aligned, count: count))
      }
    }
  }
}
