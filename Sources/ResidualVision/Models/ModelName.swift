import ResidualNN

/// The models by the names that the command line and checkpoints use.
public enum ModelName: String, CaseIterable, Sendable {
  /// torchvision's family.
  case resnet18, resnet34, resnet50, resnet101, resnet152
  /// The paper's networks for 32x32 images.
  case cifarResNet20 = "cifar-resnet20"
  /// 32 layers.
  case cifarResNet32 = "cifar-resnet32"
  /// 44 layers.
  case cifarResNet44 = "cifar-resnet44"
  /// 56 layers.
  case cifarResNet56 = "cifar-resnet56"
  /// 110 layers.
  case cifarResNet110 = "cifar-resnet110"
  /// One convolution and one linear layer.
  case smallCNN = "small-cnn"

  /// The model of that name.
  ///
  /// - Throws: `ModelError` that lists the names there are.
  public init(named name: String) throws {
    guard let model = ModelName(rawValue: name) else {
      throw ModelError(
        code: .unknownModel,
        message: "unknown model '\(name)'; there are \(Self.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self = model
  }

  /// The prefix of the head's keys: what is replaced when the classes change.
  public var head: String { rawValue.hasPrefix("cifar") ? "linear" : "fc" }
  /// The prefix of the first convolution's keys: what is adapted when the input channels change.
  public var stem: String { self == .smallCNN ? "conv" : "conv1" }

  /// A new network, weights drawn from `Generator.default`.
  ///
  /// - Parameters:
  ///   - inputChannels: Channels of the images.
  ///   - classes: Number of classes.
  ///   - imageSize: Height and width of the images; only `small-cnn` depends on it.
  public func build(inputChannels: Int, classes: Int, imageSize: Int) -> any ImageClassifier {
    switch self {
    case .resnet18: ResidualVision.resnet18(inputChannels: inputChannels, classes: classes)
    case .resnet34: ResidualVision.resnet34(inputChannels: inputChannels, classes: classes)
    case .resnet50: ResidualVision.resnet50(inputChannels: inputChannels, classes: classes)
    case .resnet101: ResidualVision.resnet101(inputChannels: inputChannels, classes: classes)
    case .resnet152: ResidualVision.resnet152(inputChannels: inputChannels, classes: classes)
    case .cifarResNet20: CIFARResNet(layers: 20, inputChannels: inputChannels, classes: classes)
    case .cifarResNet32: CIFARResNet(layers: 32, inputChannels: inputChannels, classes: classes)
    case .cifarResNet44: CIFARResNet(layers: 44, inputChannels: inputChannels, classes: classes)
    case .cifarResNet56: CIFARResNet(layers: 56, inputChannels: inputChannels, classes: classes)
    case .cifarResNet110: CIFARResNet(layers: 110, inputChannels: inputChannels, classes: classes)
    case .smallCNN: SmallCNN(inputChannels: inputChannels, classes: classes, imageSize: imageSize)
    }
  }
}
