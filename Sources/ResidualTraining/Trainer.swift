import Foundation
import ResidualNN
import ResidualTensor
import ResidualVision

/// What a training run tells while it goes on.
public enum TrainingEvent: Sendable {
  /// A step was taken.
  case step(StepRecord)
  /// A phase of an epoch has ended.
  case epoch(EpochRecord)
}

/// Why training could not start or go on.
public struct TrainingError: Error, Equatable, CustomStringConvertible {
  /// What was wrong.
  public enum Code: Sendable {
    /// The loss is NaN or infinite.
    case lossNotFinite
    /// Images and model don't fit together.
    case mismatch
  }

  /// What was wrong.
  public let code: Code
  /// What was wrong, in words, and the way out.
  public let message: String
  /// The message.
  public var description: String { message }
}

/// The training loop: epochs of a train and a test phase.
public final class Trainer {
  /// The network.
  public let model: any ImageClassifier
  /// What changes its parameters.
  public let optimizer: any Optimizer
  /// What is trained on.
  public let trainLoader: DataLoader
  /// What is tested on after each epoch; nil for no test phase.
  public let testLoader: DataLoader?
  /// Where the run is.
  public private(set) var progress: TrainingProgress

  /// A run from its beginning, or from `progress` on.
  ///
  /// - Throws: `TrainingError` or `ModelError` if images and model don't fit, also in the last, shorter batch of an
  ///   epoch.
  public init(
    _ model: any ImageClassifier, optimizer: any Optimizer, trainLoader: DataLoader, testLoader: DataLoader? = nil,
    progress: TrainingProgress? = nil
  ) throws {
    self.model = model
    self.optimizer = optimizer
    self.trainLoader = trainLoader
    self.testLoader = testLoader
    self.progress = progress ?? TrainingProgress(classes: model.classes)
    try validate()
  }

  /// Trains until `epochs` epochs or `steps` steps are done, counted from the start of the run.
  ///
  /// After the last step, epoch or not, the test phase follows.
  ///
  /// - Throws: `TrainingError` when the loss is not finite (the weights are those before the failing step's update),
  ///   and whatever `onEvent` throws.
  public func run(epochs: Int, steps: Int? = nil, onEvent: (TrainingEvent) throws -> Void = { _ in }) throws {
    while progress.epoch < epochs && progress.step < steps ?? .max {
      try trainEpoch(steps: steps, onEvent: onEvent)
      let trained = EpochRecord(
        epoch: progress.epoch, phase: .train, metrics: progress.metrics, seconds: progress.seconds)
      var tested: EpochRecord?
      if let testLoader {
        let start = ContinuousClock.now
        let metrics = try evaluate(model, on: testLoader)
        tested = EpochRecord(
          epoch: progress.epoch, phase: .test, metrics: metrics, seconds: start.elapsedSeconds)
      }
      if progress.batch == trainLoader.batchCount { progress.endEpoch() }
      try record(trained, onEvent)
      if let tested { try record(tested, onEvent) }
    }
  }

  private func record(_ record: EpochRecord, _ onEvent: (TrainingEvent) throws -> Void) throws {
    progress.history.append(record)
    try onEvent(.epoch(record))
  }

  private func trainEpoch(steps: Int?, onEvent: (TrainingEvent) throws -> Void) throws {
    model.train()
    let batches = trainLoader.batches(epoch: progress.epoch)
    while progress.batch < batches.count && progress.step < steps ?? .max {
      let start = ContinuousClock.now
      let batch = trainLoader.batch(of: batches[progress.batch])
      let loss = try step(on: batch)
      let seconds = start.elapsedSeconds
      progress.advance(seconds: seconds)
      try onEvent(
        .step(
          StepRecord(
            epoch: progress.epoch, step: progress.step, loss: loss,
            imagesPerSecond: Double(batch.labels.count) / seconds, batch: progress.batch, batches: batches.count,
            secondsPerBatch: progress.seconds / Double(progress.batch))))
    }
  }

  /// Forward, backward, update.
  private func step(on batch: ImageBatch) throws -> Double {
    optimizer.zeroGradients()
    let logits = model(batch.images)
    let loss = crossEntropy(logits, batch.labels)
    let value = Double(loss.item)
    guard value.isFinite else {
      throw TrainingError(
        code: .lossNotFinite,
        message: "the loss is \(value) at step \(progress.step + 1); use a smaller learning rate than "
          + "\(optimizer.learningRate), or check that the images are scaled as the weights expect")
    }
    progress.metrics.add(meanLoss: value, predictions: logits.argmax(), labels: batch.labels)
    loss.backward()
    optimizer.step()
    return value
  }

  private func validate() throws {
    for loader in [trainLoader, testLoader].compactMap({ $0 }) {
      let images = loader.images
      guard images.channels == model.inputChannels && images.classes <= model.classes else {
        throw TrainingError(
          code: .mismatch,
          message: "the images have \(images.channels) channels and \(images.classes) classes, but the model takes "
            + "\(model.inputChannels) channels and has \(model.classes) classes")
      }
    }
    let size = Size2d(trainLoader.imageSize)
    let last = (trainLoader.images.count - 1) % trainLoader.batchSize + 1
    for count in Set([min(trainLoader.batchSize, trainLoader.images.count), last]) {
      try model.validate(batchSize: count, imageSize: size, isTraining: true)
    }
  }
}

extension ContinuousClock.Instant {
  /// Seconds from this instant until now.
  var elapsedSeconds: Double { (ContinuousClock.now - self) / .seconds(1) }
}
