import CKernels

/// The largest value of each window of `[N, C, H, W]`; padding never wins, NaN always does.
///
/// PyTorch: `max_pool2d`.
public func maxPool2d(_ x: Tensor, kernelSize: Size2d, stride: Size2d? = nil, padding: Size2d = 0) -> Tensor {
  precondition(x.rank == 4, "maxPool2d: the input must be [N, C, H, W], not \(x.shape)")
  let stride = stride ?? kernelSize
  precondition(
    padding.height * 2 <= kernelSize.height && padding.width * 2 <= kernelSize.width,
    "maxPool2d: padding \(padding) is more than half of the kernel \(kernelSize)")
  precondition(
    x.shape[2] + 2 * padding.height >= kernelSize.height && x.shape[3] + 2 * padding.width >= kernelSize.width,
    "maxPool2d: the kernel \(kernelSize) is larger than the padded image of \(x.shape)")
  precondition(
    kernelSize.height * kernelSize.width <= 255, "maxPool2d: kernel \(kernelSize) has more than 255 elements")
  let height = (x.shape[2] + 2 * padding.height - kernelSize.height) / stride.height + 1
  let width = (x.shape[3] + 2 * padding.width - kernelSize.width) / stride.width + 1
  let shape = [x.shape[0], x.shape[1], height, width]
  let kernel = rk_pool2d(
    block: x.shape[0] * x.shape[1], height: x.shape[2], width: x.shape[3], out_height: height, out_width: width,
    kernel_height: kernelSize.height, kernel_width: kernelSize.width, stride_height: stride.height,
    stride_width: stride.width, padding_height: padding.height, padding_width: padding.width)
  let output = Storage(uninitialized: shape.elementCount)
  let winners = isRecording(x) ? Winners(count: output.count) : nil
  let input = x.storage
  withUnsafePointer(to: kernel) { kernel in
    Threads.run(height) { rk_max_pool2d(kernel, input.pointer, $0, $0 + 1, output.pointer, winners?.pointer) }
  }
  let (node, inputShape) = (x.node, x.shape)
  return .recorded(output, shape: shape, from: x) { gradient in
    guard let node, let winners else { return }
    let result = Storage(uninitialized: inputShape.elementCount)
    withUnsafePointer(to: kernel) { kernel in
      Threads.run(inputShape[2]) {
        rk_max_pool2d_backward(kernel, gradient.storage.pointer, winners.pointer, $0, $0 + 1, result.pointer)
      }
    }
    node.receive(Tensor(storage: result, shape: inputShape))
  }
}

/// One byte an output: which element of its window won.
private final class Winners {
  private let storage: Storage
  let pointer: UnsafeMutablePointer<UInt8>

  init(count: Int) {
    storage = Storage(uninitialized: (count + 3) / 4)
    pointer = UnsafeMutableRawPointer(storage.pointer).assumingMemoryBound(to: UInt8.self)
  }
}

/// Mean over all positions: `[N, C, H, W]` to `[N, C, 1, 1]`.
///
/// PyTorch: `adaptive_avg_pool2d(x, 1)`.
public func globalAveragePooling2d(_ x: Tensor) -> Tensor {
  precondition(x.rank == 4, "globalAveragePooling2d: the input must be [N, C, H, W], not \(x.shape)")
  let block = x.shape[0] * x.shape[1]
  let positions = x.shape[2] * x.shape[3]
  let (input, output) = (x.storage, Storage(uninitialized: block))
  Threads.run(over: block, grain: max(1, elementwiseGrain / positions)) {
    rk_global_average(input.pointer, positions, block, $0.lowerBound, $0.upperBound, output.pointer)
  }
  let (node, inputShape) = (x.node, x.shape)
  return .recorded(output, shape: [x.shape[0], x.shape[1], 1, 1], from: x) { gradient in
    let result = Storage(uninitialized: inputShape.elementCount)
    Threads.run(positions) {
      rk_scale(gradient.storage.pointer, 1 / Float(positions), block, result.pointer + $0 * block)
    }
    node?.receive(Tensor(storage: result, shape: inputShape))
  }
}

/// Every `stride`-th position, with the channels padded by zeros on both sides: shortcut A of the ResNet paper.
///
/// `[N, C, H, W]` to `[N, channels, ceil(H / stride), ceil(W / stride)]`; the new channels are split evenly before and
/// after the old ones. Source: He et al. 2015, arXiv:1512.03385, section 4.2.
public func subsampledWithZeroChannels(_ x: Tensor, stride: Size2d, channels: Int) -> Tensor {
  precondition(x.rank == 4, "subsampledWithZeroChannels: the input must be [N, C, H, W], not \(x.shape)")
  let (images, old) = (x.shape[0], x.shape[1])
  precondition(channels >= old, "subsampledWithZeroChannels: \(old) channels can't become \(channels)")
  let height = (x.shape[2] + stride.height - 1) / stride.height
  let width = (x.shape[3] + stride.width - 1) / stride.width
  let shape = [images, channels, height, width]
  let before = (channels - old) / 2
  let inputWidth = x.shape[3]

  /// Calls `body` with the offsets of the corresponding rows of C floats in the input and the output.
  func forEachRow(_ body: (_ input: Int, _ output: Int) -> Void) {
    for h in 0..<height {
      for w in 0..<width {
        let source = (h * stride.height * inputWidth + w * stride.width) * images
        let target = (h * width + w) * images
        for n in 0..<images { body((source + n) * old, (target + n) * channels + before) }
      }
    }
  }

  let (input, output) = (x.storage, Storage(repeating: 0, count: shape.elementCount))
  forEachRow { (output.pointer + $1).update(from: input.pointer + $0, count: old) }
  let (node, inputShape) = (x.node, x.shape)
  return .recorded(output, shape: shape, from: x) { gradient in
    let result = Storage(repeating: 0, count: inputShape.elementCount)
    forEachRow { (result.pointer + $0).update(from: gradient.storage.pointer + $1, count: old) }
    node?.receive(Tensor(storage: result, shape: inputShape))
  }
}
