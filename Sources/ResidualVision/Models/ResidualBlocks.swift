import ResidualNN
import ResidualTensor

/// How a block's shortcut reaches another shape.
///
/// Source: He et al. 2015, arXiv:1512.03385, section 3.3.
public enum Shortcut: Sendable {
  /// Option A: every second position, new channels filled with zeros; no parameters.
  case identity
  /// Option B: a 1x1 convolution with a batch norm.
  case projection
}

/// What all blocks of a network have in common.
public struct BlockOptions: Equatable, Sendable {
  /// How shortcuts change shape.
  public var shortcut: Shortcut
  /// Whether a bottleneck's stride is in its first 1x1 convolution, as in the paper, and not in the 3x3, as in
  /// torchvision.
  public var strideIn1x1: Bool
  /// Whether batch norms follow the convolutions.
  ///
  /// Without them the convolutions have biases.
  public var batchNorm: Bool

  /// torchvision's choices unless told otherwise.
  public init(shortcut: Shortcut = .projection, strideIn1x1: Bool = false, batchNorm: Bool = true) {
    self.shortcut = shortcut
    self.strideIn1x1 = strideIn1x1
    self.batchNorm = batchNorm
  }

  func convolution(_ input: Int, _ output: Int, kernelSize: Size2d, stride: Size2d = 1, padding: Size2d = 0) -> Conv2d {
    Conv2d(input, output, kernelSize: kernelSize, stride: stride, padding: padding, bias: !batchNorm)
  }

  func norm(_ channels: Int) -> BatchNorm2d? { batchNorm ? BatchNorm2d(channels) : nil }

  /// The shortcut's layers (`downsample.0`, `downsample.1`); nil where the input fits or option A takes over.
  func downsample(_ input: Int, _ output: Int, stride: Size2d) -> Sequential? {
    guard stride != 1 || input != output, shortcut == .projection else { return nil }
    let convolution = convolution(input, output, kernelSize: 1, stride: stride)
    return norm(output).map { Sequential(convolution, $0) } ?? Sequential(convolution)
  }
}

/// What the shortcut adds to the block's output.
private func shortcut(_ x: Tensor, through downsample: Sequential?, stride: Size2d, channels: Int) -> Tensor {
  guard let downsample else {
    let fits = stride == 1 && x.shape[1] == channels
    return fits ? x : subsampledWithZeroChannels(x, stride: stride, channels: channels)
  }
  guard let convolution = downsample[0] as? Conv2d else { return downsample(x) }
  return convolution(x, normalizedBy: downsample.layers.count > 1 ? downsample[1] as? BatchNorm2d : nil)
}

/// Two 3x3 convolutions around a shortcut: the block of ResNet-18 and 34.
///
/// torchvision: `BasicBlock`.
public final class BasicBlock: Module, Layer {
  @Child private var conv1: Conv2d
  @Child private var bn1: BatchNorm2d?
  @Child private var conv2: Conv2d
  @Child private var bn2: BatchNorm2d?
  @Child private var downsample: Sequential?
  private let stride: Size2d

  /// From `inputChannels` to `channels`, the first convolution with `stride`.
  public init(_ inputChannels: Int, _ channels: Int, stride: Size2d = 1, options: BlockOptions = .init()) {
    downsample = options.downsample(inputChannels, channels, stride: stride)
    conv1 = options.convolution(inputChannels, channels, kernelSize: 3, stride: stride, padding: 1)
    bn1 = options.norm(channels)
    conv2 = options.convolution(channels, channels, kernelSize: 3, padding: 1)
    bn2 = options.norm(channels)
    self.stride = stride
  }

  /// `[N, in, H, W]` to `[N, channels, H / stride, W / stride]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let residual = shortcut(x, through: downsample, stride: stride, channels: conv2.weight.shape[0])
    return conv2(conv1(x, normalizedBy: bn1, relu: true), normalizedBy: bn2, adding: residual, relu: true)
  }
}

/// A 1x1, a 3x3 and a 1x1 convolution around a shortcut: the block of ResNet-50, 101 and 152.
///
/// torchvision: `Bottleneck`.
public final class Bottleneck: Module, Layer {
  /// Output channels for each inner channel.
  public static let expansion = 4
  @Child private var conv1: Conv2d
  @Child private var bn1: BatchNorm2d?
  @Child private var conv2: Conv2d
  @Child private var bn2: BatchNorm2d?
  @Child private var conv3: Conv2d
  @Child private var bn3: BatchNorm2d?
  @Child private var downsample: Sequential?
  private let stride: Size2d

  /// From `inputChannels` through `channels` to four times `channels`.
  public init(_ inputChannels: Int, _ channels: Int, stride: Size2d = 1, options: BlockOptions = .init()) {
    let output = channels * Self.expansion
    downsample = options.downsample(inputChannels, output, stride: stride)
    let (first, second): (Size2d, Size2d) = options.strideIn1x1 ? (stride, 1) : (1, stride)
    conv1 = options.convolution(inputChannels, channels, kernelSize: 1, stride: first)
    bn1 = options.norm(channels)
    conv2 = options.convolution(channels, channels, kernelSize: 3, stride: second, padding: 1)
    bn2 = options.norm(channels)
    conv3 = options.convolution(channels, output, kernelSize: 1)
    bn3 = options.norm(output)
    self.stride = stride
  }

  /// `[N, in, H, W]` to `[N, 4 * channels, H / stride, W / stride]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let residual = shortcut(x, through: downsample, stride: stride, channels: conv3.weight.shape[0])
    let reduced = conv1(x, normalizedBy: bn1, relu: true)
    let filtered = conv2(reduced, normalizedBy: bn2, relu: true)
    return conv3(filtered, normalizedBy: bn3, adding: residual, relu: true)
  }
}
