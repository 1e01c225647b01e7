import CKernels

/// Activations or gradients rounded to bfloat16, in the physical order of the tensor they come from.
struct BFloat16Buffer {
  private let storage: Storage
  var pointer: UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(storage.pointer).assumingMemoryBound(to: UInt16.self)
  }

  /// Room for `count` values, uninitialised.
  init(uninitialized count: Int) { storage = Storage(uninitialized: (count + 1) / 2) }

  /// The nearest bfloat16 of each float, ties to even.
  private init(_ source: Storage) {
    self.init(uninitialized: source.count)
    let target = pointer
    Threads.run(over: source.count, grain: elementwiseGrain) {
      rk_float_to_bfloat16(source.pointer + $0.lowerBound, $0.count, target + $0.lowerBound)
    }
  }

  /// The same, kept beside the source as long as that stays as it is: for the next convolution that reads it.
  init(keptBeside source: Storage) {
    storage = source.cached(Self.name) { BFloat16Buffer(source).storage }
  }

  /// Keeps the buffer as the rounded values of `source`, for an operation that writes both in one pass.
  func keep(beside source: Storage) { source.keep(storage, as: Self.name) }

  private static let name = "bfloat16"

  /// The memory, to be kept beside the weight it was packed from.
  init(storage: Storage) { self.storage = storage }
  var memory: Storage { storage }
}

extension Convolution {
  /// Whether the bfloat16 kernels take these sizes: products are taken in pairs of channels.
  var supportsBFloat16: Bool { withKernel { rk_conv2d_bf16_supported($0) } }

  private func packedBFloat16(_ weight: Storage, _ pack: rk_pack, keep: Bool) -> BFloat16Buffer {
    let make = {
      withKernel { shape in
        let packed = BFloat16Buffer(uninitialized: rk_conv2d_bf16_packed_count(shape, pack))
        Threads.run(rk_conv2d_bf16_pack_tasks(shape, pack)) {
          rk_conv2d_bf16_pack(shape, pack, weight.pointer, packed.pointer, $0)
        }
        return packed.memory
      }
    }
    guard keep else { return BFloat16Buffer(storage: make()) }
    return BFloat16Buffer(
      storage: weight.cached("packed\(pack.rawValue)bfloat16", make: make))
  }

  /// The float32 output of a product of bfloat16 operands, finished in float32.
  ///
  /// In evaluation what ends in a ReLU is kept beside it as bfloat16, too: a convolution comes next, as a rule.
  func forward(_ input: BFloat16Buffer, weight: Storage, reused: Bool, epilogue: ConvolutionEpilogue) -> Storage {
    let rounded = reused && epilogue.relu ? BFloat16Buffer(uninitialized: outputShape.elementCount) : nil
    let output = makeOutput(epilogue) { shape, epilogue, output in
      if !reused && rk_conv2d_bf16_forward_prefers_direct(shape) {
        Threads.run(rk_conv2d_bf16_forward_direct_tasks(shape)) {
          rk_conv2d_bf16_forward_direct(shape, input.pointer, weight.pointer, epilogue, output, $0)
        }
      } else {
        let panels = packedBFloat16(weight, RK_PACK_FORWARD, keep: reused)
        Threads.run(rk_conv2d_bf16_forward_tasks(shape)) {
          rk_conv2d_bf16_forward(shape, input.pointer, panels.pointer, epilogue, output, rounded?.pointer, $0)
        }
      }
    }
    rounded?.keep(beside: output)
    return output
  }

  private func backwardInput(
    _ gradient: BFloat16Buffer, weight: Storage, into destination: UnsafeMutablePointer<Float>, accumulate: Bool
  ) {
    withKernel { shape in
      if rk_conv2d_bf16_backward_input_prefers_direct(shape) {
        Threads.run(rk_conv2d_bf16_backward_input_direct_tasks(shape)) {
          rk_conv2d_bf16_backward_input_direct(shape, gradient.pointer, weight.pointer, accumulate, destination, $0)
        }
      } else {
        let panels = packedBFloat16(weight, RK_PACK_BACKWARD_INPUT, keep: false)
        Threads.run(rk_conv2d_bf16_backward_input_tasks(shape)) {
          rk_conv2d_bf16_backward_input(shape, gradient.pointer, panels.pointer, accumulate, destination, $0)
        }
      }
    }
  }

  /// The recorded operation with bfloat16 operands in all three products; the gradients are float32.
  func mixedPrecision(_ x: Tensor, weight: Tensor, bias: Tensor?) -> Tensor {
    let recording = isRecording(x, weight, bias)
    let input = BFloat16Buffer(keptBeside: x.storage)
    let weights = weight.storage
    let output = forward(
      input, weight: weights, reused: !recording, epilogue: ConvolutionEpilogue(bias: bias?.storage))
    let (nodeX, nodeW, nodeB) = (x.node, weight.node, bias?.node)
    let keptInput = nodeW == nil ? nil : input
    let keptWeight = KeptStorage(weights, for: "conv2d")
    return .recorded(output, shape: outputShape, from: x, weight, bias) { gradient in
      let weights = keptWeight.unchanged()
      let g = BFloat16Buffer(keptBeside: gradient.storage)
      nodeX?.receive { backwardInput(g, weight: weights, into: $0, accumulate: $1) }
      if let nodeW, let keptInput {
        let tasks = withKernel(rk_conv2d_bf16_backward_weight_tasks)
        nodeW.receive(zeros: unmetTaps, tasks: tasks) { task, destination, accumulate in
          withKernel {
            rk_conv2d_bf16_backward_weight($0, keptInput.pointer, g.pointer, accumulate, destination, task)
          }
        }
      }
      if let nodeB { receiveChannelSums(gradient.storage, channels: outputShape[1], by: nodeB) }
    }
  }
}
