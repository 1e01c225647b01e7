import ResidualVision

/// What a run was started with: enough to build the same model and read the same images again.
public struct RunInformation: Sendable, Equatable, Codable {
  /// `resnet101`.
  public var model: String
  /// Channels of the images.
  public var inputChannels: Int
  /// Number of classes.
  public var classes: Int
  /// The name of the data set.
  public var dataset: String
  /// Images trained on.
  public var images: Int
  /// Height and width that the images are padded to.
  public var imageSize: Int
  /// Images a step.
  public var batchSize: Int
  /// `adam`, `adamw` or `sgd`.
  public var optimizer: String
  /// Seed of the weights and of the order of the images.
  public var seed: UInt64
  /// Whether the images are shuffled.
  public var isShuffled: Bool
  /// What is subtracted from the pixels.
  public var mean: [Float]
  /// What the pixels are divided by.
  public var std: [Float]
  /// Key paths of the modules that are trained while the others are frozen; none where all are trained.
  public var trainedModules: [String]?
  /// Version of the library.
  public var version = LibraryVersion.current

  /// The choices of a run.
  public init(
    model: String, inputChannels: Int, classes: Int, dataset: String, images: Int, imageSize: Int, batchSize: Int,
    optimizer: String, seed: UInt64, isShuffled: Bool, mean: [Float] = [], std: [Float] = [],
    trainedModules: [String] = []
  ) {
    self.model = model
    self.inputChannels = inputChannels
    self.classes = classes
    self.dataset = dataset
    self.images = images
    self.imageSize = imageSize
    self.batchSize = batchSize
    self.optimizer = optimizer
    self.seed = seed
    self.isShuffled = isShuffled
    self.mean = mean
    self.std = std
    self.trainedModules = trainedModules
  }
}

extension RunInformation {
  /// The run's network, new, its weights drawn from `Generator.default`.
  ///
  /// - Throws: `ModelError` when there is no such model.
  public func makeModel() throws -> any ImageClassifier {
    try ModelName(named: model).build(inputChannels: inputChannels, classes: classes, imageSize: imageSize)
  }
}

/// The version of this library.
public enum LibraryVersion {
  /// Major, minor, patch.
  public static let current = "0.1.0"
}
