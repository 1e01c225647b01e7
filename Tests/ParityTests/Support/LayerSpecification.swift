import Residual

/// A layer or network as the reference describes it: a kind and the arguments of its constructor.
struct LayerSpecification: Decodable, Sendable {
  let layer: String
  let arguments: Arguments

  struct Arguments: Decodable, Sendable {
    var inChannels, outChannels, inFeatures, outFeatures, channels, classes, imageSize, dim: Int?
    var kernelSize, padding: [Int]?
    var stride: Stride?
    // JSONDecoder's capitals: stride_in_1x1.
    var bias, frozen, batchNorm, strideIn1X1: Bool?
    var eps, momentum: Double?
    var shortcut, model, block: String?
    var layers: Layers?

    func callAsFunction<Value>(_ argument: KeyPath<Arguments, Value?>) throws -> Value {
      guard let value = self[keyPath: argument] else {
        throw ReferenceError(description: "the reference gives no argument \(argument)")
      }
      return value
    }
  }

  /// `[height, width]`, or one number for a block.
  enum Stride: Decodable, Sendable {
    case pair([Int])
    case number(Int)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      self = try (try? container.decode(Int.self)).map(Stride.number) ?? .pair(container.decode([Int].self))
    }

    var size: Size2d {
      get throws {
        switch self {
        case .pair(let pair): try Size2d(pair: pair)
        case .number(let number): Size2d(number)
        }
      }
    }
  }

  /// The layers of a sequential, or the blocks in each stage of a network.
  enum Layers: Decodable, Sendable {
    case list([LayerSpecification])
    case counts([Int])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      self =
        try (try? container.decode([Int].self)).map(Layers.counts) ?? .list(container.decode([LayerSpecification].self))
    }
  }
}

extension LayerSpecification {
  /// The layer, with weights of its own.
  func make() throws -> any Layer {
    let a = arguments
    switch layer {
    case "conv2d":
      return try Conv2d(
        a(\.inChannels), a(\.outChannels), kernelSize: Size2d(pair: a(\.kernelSize)), stride: a(\.stride).size,
        padding: Size2d(pair: a(\.padding)), bias: a(\.bias))
    case "conv2d_loops":
      return try Conv2dWithLoops(
        a(\.inChannels), a(\.outChannels), kernelSize: Size2d(pair: a(\.kernelSize)), stride: a(\.stride).size,
        padding: Size2d(pair: a(\.padding)), bias: a(\.bias))
    case "linear": return try Linear(a(\.inFeatures), a(\.outFeatures), bias: a(\.bias))
    case "max_pool2d":
      return try MaxPool2d(
        kernelSize: Size2d(pair: a(\.kernelSize)), stride: a(\.stride).size, padding: Size2d(pair: a(\.padding)))
    case "global_average_pooling2d": return GlobalAveragePooling2d()
    case "flatten": return Flatten()
    case "relu": return ReLU()
    case "sigmoid": return Sigmoid()
    case "softmax": return Softmax()
    case "batch_norm1d":
      return try frozenIfAsked(BatchNorm1d(a(\.channels), epsilon: a(\.eps), momentum: a(\.momentum)))
    case "batch_norm2d":
      return try frozenIfAsked(BatchNorm2d(a(\.channels), epsilon: a(\.eps), momentum: a(\.momentum)))
    case "bottleneck":
      return try Bottleneck(a(\.inChannels), a(\.channels), stride: a(\.stride).size, options: blockOptions())
    case "basic_block":
      return try BasicBlock(a(\.inChannels), a(\.channels), stride: a(\.stride).size, options: blockOptions())
    case "resnet": return try makeNetwork()
    case "sequential":
      guard case .list(let layers) = try a(\.layers) else { break }
      return Sequential(try layers.map { try $0.make() })
    default: break
    }
    throw ReferenceError(description: "the tests know no layer '\(layer)' with arguments \(a)")
  }

  private func makeNetwork() throws -> any Layer {
    let a = arguments
    let (name, inputChannels, classes) = try (a(\.model), a(\.inChannels), a(\.classes))
    switch name {
    case "resnet":
      guard case .counts(let blocks) = try a(\.layers) else { break }
      return try ResNet(
        blocks, block: a(\.block) == "basic_block" ? .basic : .bottleneck, inputChannels: inputChannels,
        classes: classes, options: blockOptions())
    case "resnet18": return try resnet18(inputChannels: inputChannels, classes: classes, options: blockOptions())
    case "resnet50": return try resnet50(inputChannels: inputChannels, classes: classes, options: blockOptions())
    case "resnet101": return try resnet101(inputChannels: inputChannels, classes: classes, options: blockOptions())
    case "small-cnn": return try SmallCNN(inputChannels: inputChannels, classes: classes, imageSize: a(\.imageSize))
    case _ where name.hasPrefix("cifar-resnet"):
      guard let layers = Int(name.dropFirst("cifar-resnet".count)) else { break }
      return try CIFARResNet(layers: layers, inputChannels: inputChannels, classes: classes, options: blockOptions())
    default: break
    }
    throw ReferenceError(description: "the tests know no model '\(name)' with arguments \(a)")
  }

  private func blockOptions() throws -> BlockOptions {
    let a = arguments
    return try BlockOptions(
      shortcut: a(\.shortcut) == "A" ? .identity : .projection, strideIn1x1: a(\.strideIn1X1), batchNorm: a(\.batchNorm)
    )
  }

  private func frozenIfAsked(_ norm: BatchNorm) throws -> BatchNorm {
    if try arguments(\.frozen) { norm.freeze() }
    return norm
  }
}

extension Size2d {
  /// `[height, width]`.
  init(pair: [Int]) throws {
    guard pair.count == 2 else { throw ReferenceError(description: "\(pair) is no pair of height and width") }
    self.init(pair[0], pair[1])
  }
}
