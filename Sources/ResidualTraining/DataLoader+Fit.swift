import ResidualTensor
import ResidualVision

extension DataLoader {
  /// Throws `TrainingError` or `ModelError` unless a model can go through all batches of an epoch, also the last, shorter
  /// one.
  func requireFit(to model: any ImageClassifier, isTraining: Bool) throws {
    guard images.channels == model.inputChannels && images.classes <= model.classes else {
      throw TrainingError(
        code: .mismatch,
        message: "the images have \(images.channels) channels and \(images.classes) classes, but the model takes "
          + "\(model.inputChannels) channels and has \(model.classes) classes")
    }
    let last = (images.count - 1) % batchSize + 1
    for count in [min(batchSize, images.count), last] {
      try model.validate(batchSize: count, imageSize: Size2d(imageSize), isTraining: isTraining)
    }
  }
}
