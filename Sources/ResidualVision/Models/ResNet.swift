import ResidualNN
import ResidualTensor

/// A residual network for images of about 32x32 and up, with torchvision's keys.
///
/// Source: He et al. 2015, arXiv:1512.03385.
///
/// `ResNet([3, 4, 23, 3])` is ResNet-101. torchvision: `torchvision.models.resnet`.
public final class ResNet: Module, ImageClassifier {
  /// Which block a network repeats.
  public enum Block: Sendable {
    /// Two 3x3 convolutions.
    case basic
    /// 1x1, 3x3, 1x1.
    case bottleneck
  }

  @Child private var conv1: Conv2d
  @Child private var bn1: BatchNorm2d?
  @Child private var maxpool = MaxPool2d(kernelSize: 3, stride: 2, padding: 1)
  @Child private var layer1: Sequential
  @Child private var layer2: Sequential
  @Child private var layer3: Sequential
  @Child private var layer4: Sequential
  @Child private var avgpool = GlobalAveragePooling2d()
  /// The head; replace it to train for other classes.
  @Child public var fc: Linear
  /// Whether the stem and each block are computed again in the backward pass instead of keeping what is inside them.
  public var recomputesBlocks = false {
    didSet { for stage in stages { stage.recomputesLayers = recomputesBlocks } }
  }
  private var stages: [Sequential] { [layer1, layer2, layer3, layer4] }

  /// A network with `blocks[i]` blocks in its i-th stage.
  ///
  /// Weights are drawn as torchvision's: convolutions normal by their outputs (He et al. 2015, arXiv:1502.01852), batch
  /// norms 1 and 0, the head as any linear layer. The same seed gives torchvision's numbers.
  public init(
    _ blocks: [Int], block: Block = .bottleneck, inputChannels: Int = 3, classes: Int = 1000,
    options: BlockOptions = .init()
  ) {
    precondition(blocks.count == 4 && blocks.allSatisfy { $0 > 0 }, "ResNet: four stages of blocks, not \(blocks)")
    conv1 = options.convolution(inputChannels, 64, kernelSize: 7, stride: 2, padding: 3)
    bn1 = options.norm(64)
    var builder = StageBuilder(channels: 64, block: block, options: options)
    layer1 = builder.stage(blocks[0], 64, stride: 1)
    layer2 = builder.stage(blocks[1], 128, stride: 2)
    layer3 = builder.stage(blocks[2], 256, stride: 2)
    layer4 = builder.stage(blocks[3], 512, stride: 2)
    fc = Linear(builder.channels, classes)
    super.init()
    drawConvolutions(of: self)
  }

  /// Channels of the images.
  public var inputChannels: Int { conv1.weight.shape[1] }
  /// Number of classes.
  public var classes: Int { fc.weight.shape[0] }

  /// `[N, inputChannels, H, W]` to logits `[N, classes]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    var y = recomputing(if: recomputesBlocks) { [self] in maxpool(conv1(x, normalizedBy: bn1, relu: true)) }
    for stage in stages { y = stage(y) }
    return fc(avgpool(y).flattened())
  }

  /// Throws when a training batch would leave one value per channel in the last stage.
  public func validate(batchSize: Int, imageSize: Size2d, isTraining: Bool) throws {
    try validateStages(batchSize: batchSize, imageSize: imageSize, reduction: 32, isTraining: isTraining && bn1 != nil)
  }
}

/// The residual networks of the paper's section 4.2 for 32x32 images: a 3x3 stem and three stages of 16, 32 and 64
/// channels, 6n + 2 layers.
public final class CIFARResNet: Module, ImageClassifier {
  @Child private var conv1: Conv2d
  @Child private var bn1: BatchNorm2d?
  @Child private var layer1: Sequential
  @Child private var layer2: Sequential
  @Child private var layer3: Sequential
  @Child private var avgpool = GlobalAveragePooling2d()
  /// The head; replace it to train for other classes.
  @Child public var linear: Linear
  /// Whether the stem and each block are computed again in the backward pass instead of keeping what is inside them.
  public var recomputesBlocks = false {
    didSet { for stage in stages { stage.recomputesLayers = recomputesBlocks } }
  }
  private var stages: [Sequential] { [layer1, layer2, layer3] }

  /// A network of 20, 32, 44, 56, 110 or any other 6n + 2 layers.
  public init(
    layers: Int, inputChannels: Int = 3, classes: Int = 10, options: BlockOptions = .init(shortcut: .identity)
  ) {
    precondition(layers >= 8 && layers % 6 == 2, "CIFARResNet: 6n + 2 layers, not \(layers)")
    let blocks = (layers - 2) / 6
    conv1 = options.convolution(inputChannels, 16, kernelSize: 3, padding: 1)
    bn1 = options.norm(16)
    var builder = StageBuilder(channels: 16, block: .basic, options: options)
    layer1 = builder.stage(blocks, 16, stride: 1)
    layer2 = builder.stage(blocks, 32, stride: 2)
    layer3 = builder.stage(blocks, 64, stride: 2)
    linear = Linear(64, classes)
    super.init()
    drawConvolutions(of: self)
  }

  /// Channels of the images.
  public var inputChannels: Int { conv1.weight.shape[1] }
  /// Number of classes.
  public var classes: Int { linear.weight.shape[0] }

  /// `[N, inputChannels, H, W]` to logits `[N, classes]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    var y = recomputing(if: recomputesBlocks) { [self] in conv1(x, normalizedBy: bn1, relu: true) }
    for stage in stages { y = stage(y) }
    return linear(avgpool(y).flattened())
  }

  /// Throws when a training batch would leave one value per channel in the last stage.
  public func validate(batchSize: Int, imageSize: Size2d, isTraining: Bool) throws {
    try validateStages(batchSize: batchSize, imageSize: imageSize, reduction: 4, isTraining: isTraining && bn1 != nil)
  }
}

/// Builds stage after stage and keeps count of the channels.
private struct StageBuilder {
  var channels: Int
  let block: ResNet.Block
  let options: BlockOptions

  mutating func stage(_ count: Int, _ width: Int, stride: Size2d) -> Sequential {
    Sequential(
      (0..<count).map { index in
        let stride = index == 0 ? stride : 1
        switch block {
        case .basic:
          defer { channels = width }
          return BasicBlock(channels, width, stride: stride, options: options)
        case .bottleneck:
          defer { channels = width * Bottleneck.expansion }
          return Bottleneck(channels, width, stride: stride, options: options)
        }
      })
  }
}

/// Draws all convolution weights anew, in the order of the modules, as torchvision does after building a network.
private func drawConvolutions(of network: Module) {
  for (_, module) in network.namedModules() {
    if let convolution = module as? Conv2d { Initializer.kaimingNormalFanOut.fill(convolution.weight) }
  }
}

private func validateStages(batchSize: Int, imageSize: Size2d, reduction: Int, isTraining: Bool) throws {
  let height = (imageSize.height + reduction - 1) / reduction
  let width = (imageSize.width + reduction - 1) / reduction
  if isTraining && batchSize * height * width == 1 {
    throw ModelError(
      code: .oneValuePerChannel,
      message: """
        a training batch of 1 image of \(imageSize.height)x\(imageSize.width) leaves one value per channel in the last \
        stage, and batch norm can't train on that; use a batch size that leaves no batch of 1, or larger images
        """)
  }
}
