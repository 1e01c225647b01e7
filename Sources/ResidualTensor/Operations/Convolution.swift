import CKernels

/// Height and width of a window, a stride or a padding; one number stands for both.
public struct Size2d: Equatable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  /// Rows.
  public let height: Int
  /// Columns.
  public let width: Int

  /// Different numbers for rows and columns.
  public init(_ height: Int, _ width: Int) {
    self.height = height
    self.width = width
  }

  /// One number for both.
  public init(integerLiteral value: Int) { self.init(value, value) }
  /// One number for both.
  public init(_ both: Int) { self.init(both, both) }

  /// `3` or `(3, 5)`.
  public var description: String { height == width ? "\(height)" : "(\(height), \(width))" }
}

/// Stride and padding of a convolution.
///
/// PyTorch: the arguments of `torch.nn.functional.conv2d`.
public struct ConvolutionOptions: Equatable, Sendable {
  /// Step of the window.
  public var stride: Size2d
  /// Zeros around the image; they are never multiplied.
  public var padding: Size2d

  /// Step 1 and no padding unless given.
  public init(stride: Size2d = 1, padding: Size2d = 0) {
    self.stride = stride
    self.padding = padding
  }
}

/// One convolution with all its sizes: the kernels' view of it.
struct Convolution {
  var kernel: rk_conv2d
  let outputShape: [Int]

  /// `input` is `[N, I, H, W]`, `weight` is `[O, I, KH, KW]`.
  init(input: [Int], weight: [Int], options: ConvolutionOptions) {
    precondition(
      input.count == 4 && !input.contains(0), "conv2d: the input must be [N, C, H, W] and not empty, not \(input)")
    precondition(
      weight.count == 4 && input[1] == weight[1],
      "conv2d: input \(input) has \(input[1]) channels, the weight \(weight) expects \(weight[1])")
    let (stride, padding) = (options.stride, options.padding)
    let height = (input[2] + 2 * padding.height - weight[2]) / stride.height + 1
    let width = (input[3] + 2 * padding.width - weight[3]) / stride.width + 1
    precondition(
      input[2] + 2 * padding.height >= weight[2] && input[3] + 2 * padding.width >= weight[3],
      "conv2d: the kernel \(weight[2])x\(weight[3]) is larger than the padded image of \(input) with padding \(padding)"
    )
    outputShape = [input[0], weight[0], height, width]
    kernel = rk_conv2d(
      batch: input[0], height: input[2], width: input[3], in_channels: input[1], out_channels: weight[0],
      kernel_height: weight[2], kernel_width: weight[3], stride_height: stride.height, stride_width: stride.width,
      padding_height: padding.height, padding_width: padding.width, out_height: height, out_width: width)
  }

  /// The weight in the kernels' arrangement, kept until the weight changes when `keep` says that it is used again.
  func packed(_ weight: Storage, _ pack: rk_pack, keep: Bool) -> Storage {
    let make = {
      withKernel { shape in
        let packed = Storage(uninitialized: rk_conv2d_packed_count(shape, pack))
        Threads.run(rk_conv2d_pack_tasks(shape, pack)) {
          rk_conv2d_pack(shape, pack, weight.pointer, packed.pointer, $0)
        }
        return packed
      }
    }
    guard keep else { return make() }
    return weight.cached("packed\(pack.rawValue) \(withKernel(rk_conv2d_arrangement))", make: make)
  }

  /// The input as the transposed product wants it.
  private func packedRows(_ input: Storage) -> Storage {
    withKernel { shape in
      let packed = Storage(uninitialized: rk_conv2d_packed_rows_count(shape))
      Threads.run(rk_conv2d_pack_rows_tasks(shape)) {
        rk_conv2d_pack_rows(shape, input.pointer, packed.pointer, $0)
      }
      return packed
    }
  }

  func withKernel<Result>(_ body: (UnsafePointer<rk_conv2d>) -> Result) -> Result {
    withUnsafePointer(to: kernel, body)
  }

  /// The output `[N, O, OH, OW]`, finished as `epilogue` says as each sum is complete.
  ///
  /// A weight that is used once, as in training, may be packed piece by piece inside the product, or not at all where it
  /// is large beside the input; one that is `reused` is packed before the first use.
  func forward(_ input: Storage, weight: Storage, reused: Bool, epilogue: ConvolutionEpilogue) -> Storage {
    makeOutput(epilogue) { shape, epilogue, output in
      if !reused && rk_conv2d_forward_prefers_transposed(shape) {
        let rows = packedRows(input)
        Threads.run(rk_conv2d_forward_transposed_tasks(shape)) {
          rk_conv2d_forward_transposed(shape, rows.pointer, weight.pointer, epilogue, output, $0)
        }
      } else if !reused && rk_conv2d_forward_prefers_direct(shape) {
        Threads.run(rk_conv2d_forward_direct_tasks(shape)) {
          rk_conv2d_forward_direct(shape, input.pointer, weight.pointer, epilogue, output, $0)
        }
      } else {
        let panels = packed(weight, RK_PACK_FORWARD, keep: reused)
        Threads.run(rk_conv2d_forward_tasks(shape)) {
          rk_conv2d_forward(shape, input.pointer, panels.pointer, epilogue, output, $0)
        }
      }
    }
  }

  /// The output, written by `body`, which is told what to do as each sum is complete.
  func makeOutput(
    _ epilogue: ConvolutionEpilogue,
    _ body: (UnsafePointer<rk_conv2d>, UnsafePointer<rk_epilogue>, UnsafeMutablePointer<Float>) -> Void
  ) -> Storage {
    let output = Storage(uninitialized: outputShape.elementCount)
    withUnsafePointer(to: epilogue.kernel) { epilogue in withKernel { body($0, epilogue, output.pointer) } }
    return output
  }

  func backwardInput(
    _ gradient: Storage, weight: Storage, into destination: UnsafeMutablePointer<Float>, accumulate: Bool
  ) {
    withKernel { shape in
      if rk_conv2d_backward_input_prefers_direct(shape) {
        Threads.run(rk_conv2d_backward_input_direct_tasks(shape)) {
          rk_conv2d_backward_input_direct(shape, gradient.pointer, weight.pointer, accumulate, destination, $0)
        }
      } else {
        let panels = packed(weight, RK_PACK_BACKWARD_INPUT, keep: false)
        Threads.run(rk_conv2d_backward_input_tasks(shape)) {
          rk_conv2d_backward_input(shape, gradient.pointer, panels.pointer, accumulate, destination, $0)
        }
      }
    }
  }

  /// Where the weight's gradient is zero, and may be left unwritten: at taps that meet only padding.
  var unmetTaps: [Range<Int>] {
    let (taps, elements) = (kernel.kernel_height * kernel.kernel_width, kernel.out_channels * kernel.in_channels)
    return withKernel { shape in
      (0..<taps).reduce(into: []) { ranges, tap in
        if rk_conv2d_tap_meets_data(shape, tap) { return }
        let continues = ranges.last?.upperBound == tap * elements
        let start = continues ? ranges.removeLast().lowerBound : tap * elements
        ranges.append(start..<(tap + 1) * elements)
      }
    }
  }

  /// Has the weight's `node` receive its gradient.
  func backwardWeight(_ input: Storage, _ gradient: Storage, to node: Node) {
    let tasks = withKernel(rk_conv2d_backward_weight_tasks)
    node.receive(zeros: unmetTaps, tasks: tasks) { task, destination, accumulate in
      withKernel { rk_conv2d_backward_weight($0, input.pointer, gradient.pointer, accumulate, destination, task) }
    }
  }
}

/// What happens to each result as its sum is complete: `max(0, scale * sum + bias + residual)`, each part optional.
struct ConvolutionEpilogue {
  var scale: Storage?
  var bias: Storage?
  var residual: Storage?
  var relu = false

  /// The kernels' view of it; valid as long as the storages live.
  var kernel: rk_epilogue {
    rk_epilogue(
      scale: scale.map { UnsafePointer($0.pointer) }, bias: bias.map { UnsafePointer($0.pointer) },
      residual: residual.map { UnsafePointer($0.pointer) }, relu: relu)
  }
}

/// Sums over everything but the channel, added to a bias gradient `[C]`.
func receiveChannelSums(_ gradient: Storage, channels: Int, by node: Node) {
  let rows = gradient.count / max(1, channels)
  let chunks = Chunks(count: rows, grain: max(1, elementwiseGrain / channels))
  node.receive { destination, accumulate in
    let isWhole = chunks.number == 1 && !accumulate
    let partials = isWhole ? nil : Storage(uninitialized: chunks.number * channels)
    let sums = partials?.pointer ?? destination
    Threads.run(chunks.number) { chunk in
      let range = chunks[chunk]
      rk_column_sum(gradient.pointer + range.lowerBound * channels, range.count, channels, sums + chunk * channels)
    }
    if !isWhole { rk_sum_partials(sums, chunks.number, channels, accumulate, destination) }
  }
}

/// Cross-correlation of `[N, I, H, W]` with `[O, I, KH, KW]` as matrix multiplication.
///
/// PyTorch: `conv2d`.
///
/// No image patches are unrolled in memory: the kernels read the input in place and skip the taps that fall on padding.
public func conv2d(_ x: Tensor, weight: Tensor, bias: Tensor? = nil, options: ConvolutionOptions = .init()) -> Tensor {
  let convolution = Convolution(input: x.shape, weight: weight.shape, options: options)
  let recording = isRecording(x, weight, bias)
  let (input, weights) = (x.storage, weight.storage)
  if Precision.current == .bfloat16 && convolution.supportsBFloat16 {
    return convolution.mixedPrecision(x, weight: weight, bias: bias)
  }
  let output = convolution.forward(
    input, weight: weights, reused: !recording, epilogue: ConvolutionEpilogue(bias: bias?.storage))
  let (nodeX, nodeW, nodeB) = (x.node, weight.node, bias?.node)
  // The input is kept for the weight's gradient only.
  let keptInput = nodeW == nil ? nil : KeptStorage(input, for: "conv2d")
  let keptWeight = KeptStorage(weights, for: "conv2d")
  return .recorded(output, shape: convolution.outputShape, from: x, weight, bias) { gradient in
    let (g, weights) = (gradient.storage, keptWeight.unchanged())
    nodeX?.receive { convolution.backwardInput(g, weight: weights, into: $0, accumulate: $1) }
    if let nodeW, let input = keptInput?.unchanged() {
      convolution.backwardWeight(input, g, to: nodeW)
    }
    if let nodeB { receiveChannelSums(g, channels: convolution.outputShape[1], by: nodeB) }
  }
}

/// The same by plain loops over every index, on one thread: what the fast kernels are compared with.
public func conv2dWithLoops(
  _ x: Tensor, weight: Tensor, bias: Tensor? = nil, options: ConvolutionOptions = .init()
) -> Tensor {
  let convolution = Convolution(input: x.shape, weight: weight.shape, options: options)
  let output = Storage(uninitialized: convolution.outputShape.elementCount)
  let (input, weights) = (x.storage, weight.storage)
  let biasPointer = bias.map { UnsafePointer($0.storage.pointer) }
  convolution.withKernel {
    rk_conv2d_forward_loops($0, input.pointer, weights.pointer, biasPointer, output.pointer)
  }
  let (nodeX, nodeW, nodeB) = (x.node, weight.node, bias?.node)
  let (keptInput, keptWeight) = (
    KeptStorage(input, for: "conv2dWithLoops"), KeptStorage(weights, for: "conv2dWithLoops")
  )
  return .recorded(output, shape: convolution.outputShape, from: x, weight, bias) { gradient in
    let (g, input, weights) = (gradient.storage, keptInput.unchanged(), keptWeight.unchanged())
    if let nodeX {
      let result = Storage(uninitialized: input.count)
      convolution.withKernel { rk_conv2d_backward_input_loops($0, g.pointer, weights.pointer, result.pointer) }
      nodeX.receive(Tensor(storage: result, shape: nodeX.shape))
    }
    if let nodeW {
      let result = Storage(uninitialized: weights.count)
      convolution.withKernel { rk_conv2d_backward_weight_loops($0, input.pointer, g.pointer, result.pointer) }
      nodeW.receive(Tensor(storage: result, shape: nodeW.shape))
    }
    if let nodeB { receiveChannelSums(g, channels: convolution.outputShape[1], by: nodeB) }
  }
}

/// `x Wᵀ + b` for `[N, in]`, `[out, in]` and `[out]`.
///
/// PyTorch: `torch.nn.functional.linear`.
public func linear(_ x: Tensor, weight: Tensor, bias: Tensor? = nil) -> Tensor {
  precondition(
    x.rank == 2 && weight.rank == 2 && x.shape[1] == weight.shape[1],
    "linear: input \(x.shape) does not fit the weight \(weight.shape); the input must be [N, in_features]")
  // A linear layer is a 1x1 convolution over images of one position, and [N, C, 1, 1] lies in memory as [N, C].
  let image = x.reshaped(x.shape + [1, 1])
  let kernel = weight.reshaped(weight.shape + [1, 1])
  return conv2d(image, weight: kernel, bias: bias).flattened()
}

/// A convolution outside the record with everything that may follow it done as each sum is complete:
/// `max(0, scale * conv2d(x) + bias + residual)`, with one `scale` and `bias` for each output channel.
public func inferenceConv2d(
  _ x: Tensor, weight: Tensor, scale: Tensor?, bias: Tensor?, residual: Tensor?, relu: Bool,
  options: ConvolutionOptions
) -> Tensor {
  let convolution = Convolution(input: x.shape, weight: weight.shape, options: options)
  if let residual {
    precondition(
      residual.shape == convolution.outputShape,
      "conv2d: residual \(residual.shape) for an output of shape \(convolution.outputShape)")
  }
  let epilogue = ConvolutionEpilogue(
    scale: scale?.storage, bias: bias?.storage, residual: residual?.storage, relu: relu)
  let output: Storage
  if Precision.current == .bfloat16 && convolution.supportsBFloat16 {
    let input = BFloat16Buffer(keptBeside: x.storage)
    output = convolution.forward(input, weight: weight.storage, reused: true, epilogue: epilogue)
  } else {
    output = convolution.forward(x.storage, weight: weight.storage, reused: true, epilogue: epilogue)
  }
  return Tensor(storage: output, shape: convolution.outputShape)
}
