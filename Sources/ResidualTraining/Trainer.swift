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

/// The training loop: epochs of a train and a test phase.
public final class Trainer {
  /// The network.
  public let model: any ImageClassifier
  /// What changes its parameters.
  public let optimizer: any CheckpointableOptimizer
  /// What is trained on.
  public let trainLoader: DataLoader
  /// What is tested on after each epoch; nil for no test phase.
  public let testLoader: DataLoader?
  /// What convolutions and linear layers multiply in.
  public let precision: Precision
  /// What sets the learning rate before each step; nil leaves the optimizer's as it is.
  public internal(set) var schedule: LearningRateSchedule?
  /// Where the run is.
  public internal(set) var progress: TrainingProgress

  /// A run from its beginning, or from `progress` on.
  ///
  /// - Throws: `TrainingError` or `ModelError` if images and model don't fit, also in the last, shorter batch of an
  ///   epoch, or if `progress` is not one of such a run.
  public init(
    _ model: any ImageClassifier, optimizer: any CheckpointableOptimizer, trainLoader: DataLoader,
    testLoader: DataLoader? = nil, precision: Precision = .float32, schedule: LearningRateSchedule? = nil,
    progress: TrainingProgress? = nil
  ) throws {
    self.model = model
    self.optimizer = optimizer
    self.trainLoader = trainLoader
    self.testLoader = testLoader
    self.precision = precision
    self.schedule = schedule
    self.progress = progress ?? TrainingProgress(classes: model.classes)
    try trainLoader.requireFit(to: model, isTraining: true)
    try testLoader?.requireFit(to: model, isTraining: false)
    try requireFit(of: self.progress)
  }

  /// Trains until `epochs` epochs or `steps` steps are done, whichever comes first, counted from the start of the run.
  ///
  /// After the last step the test phase follows, also when it is not the last of its epoch; the history has whole epochs
  /// only, so that a run that is resumed ends with the same one.
  ///
  /// - Throws: `TrainingError` when the loss is not finite (parameters and optimizer are those before the failing step),
  ///   and whatever `onEvent` throws.
  public func run(epochs: Int? = nil, steps: Int? = nil, onEvent: (TrainingEvent) throws -> Void = { _ in }) throws {
    precondition(epochs != nil || steps != nil, "Trainer.run: a number of epochs or of steps is needed")
    while progress.epoch < epochs ?? .max && progress.step < steps ?? .max {
      try trainEpoch(steps: steps, onEvent: onEvent)
      let trained = EpochRecord(
        epoch: progress.epoch, phase: .train, metrics: progress.metrics, seconds: progress.seconds)
      // An epoch ends with both phases at once: progress that is saved between them goes on with the test phase.
      guard let testLoader else {
        endEpoch(with: [trained])
        try onEvent(.epoch(trained))
        continue
      }
      try onEvent(.epoch(trained))
      let start = ContinuousClock.now
      let metrics = try withPrecision(precision) { try evaluate(model, on: testLoader) }
      let tested = EpochRecord(epoch: progress.epoch, phase: .test, metrics: metrics, seconds: start.elapsedSeconds)
      endEpoch(with: [trained, tested])
      try onEvent(.epoch(tested))
    }
  }

  /// Goes on to the next epoch if all batches of this one are done.
  private func endEpoch(with records: [EpochRecord]) {
    if progress.batch == trainLoader.batchCount { progress.endEpoch(with: records) }
  }

  /// The key of each of the optimizer's parameters, in its order.
  var parameterNames: [String] {
    let names = Dictionary(
      model.namedParameters().map { (ObjectIdentifier($0.parameter), $0.key) }, uniquingKeysWith: { first, _ in first })
    return optimizer.parameters.enumerated().map { names[ObjectIdentifier($1)] ?? "parameter.\($0)" }
  }

  /// Lets the schedule, if there is one, start from another learning rate.
  ///
  /// - Throws: `TrainingError` when it is negative or infinite.
  public func rebaseSchedule(on learningRate: Double) throws {
    schedule = try schedule?.rebased(on: learningRate)
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
    if let schedule { optimizer.learningRate = schedule.learningRate(at: progress.step) }
    optimizer.zeroGradients()
    let logits = withPrecision(precision) { model(batch.images) }
    let loss = crossEntropy(logits, batch.labels)
    let value = Double(loss.item)
    guard value.isFinite else {
      throw TrainingError(
        code: .lossNotFinite,
        message: "the loss is \(value.magnitude) at step \(progress.step + 1); use a smaller learning rate than "
          + "\(optimizer.learningRate), or check that the images are scaled as the weights expect")
    }
    progress.metrics.add(meanLoss: value, predictions: logits.argmax(), labels: batch.labels)
    loss.backward(stepping: optimizer)
    return value
  }

  /// A saved progress may come from a file: one of another run must not be gone on with.
  func requireFit(of progress: TrainingProgress) throws {
    guard progress.isConsistent(classes: model.classes, batches: trainLoader.batchCount) else {
      throw TrainingError(
        code: .mismatch,
        message: "the saved progress (epoch \(progress.epoch), batch \(progress.batch), step \(progress.step), "
          + "\(progress.metrics.classes) classes) is not one of a run with \(trainLoader.batchCount) batches an epoch and "
          + "\(model.classes) classes; go on with the images and the batch size that it was saved with")
    }
  }
}

extension ContinuousClock.Instant {
  /// Seconds from this instant until now.
  var elapsedSeconds: Double { (ContinuousClock.now - self) / .seconds(1) }
}
