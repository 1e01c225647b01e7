/// What an epoch goes through: training on one split, then testing on the other.
public enum Phase: String, Sendable, Codable, CaseIterable {
  /// Weights change.
  case train
  /// Weights stay.
  case test
}

/// The metrics of one phase of one epoch.
public struct EpochRecord: Sendable, Equatable, Codable {
  /// Counted from 0.
  public let epoch: Int
  /// Train or test.
  public let phase: Phase
  /// Mean loss an image.
  public let loss: Double
  /// Share of images whose class was predicted.
  public let accuracy: Double
  /// Macro F1.
  public let f1: Double
  /// Wall time; not saved, since the files of equal runs are equal.
  public var seconds = 0.0

  private enum CodingKeys: CodingKey { case epoch, phase, loss, accuracy, f1 }

  /// The metrics as they stand after `seconds`.
  public init(epoch: Int, phase: Phase, metrics: ClassificationMetrics, seconds: Double) {
    self.epoch = epoch
    self.phase = phase
    self.seconds = seconds
    loss = metrics.loss
    accuracy = metrics.accuracy
    f1 = metrics.f1
  }
}

/// One optimizer step.
public struct StepRecord: Sendable, Equatable, Codable {
  /// Counted from 0.
  public let epoch: Int
  /// Counted from 1 over the whole run.
  public let step: Int
  /// Mean loss of the batch, before the step.
  public let loss: Double
  /// Images trained on a second, this step.
  public let imagesPerSecond: Double
  /// Which batch of the epoch it was, from 1, and how many there are.
  public let batch: Int
  /// Batches an epoch.
  public let batches: Int
  /// Mean time of a batch of this epoch so far.
  public let secondsPerBatch: Double
}

/// All epochs of a run, in order.
public struct History: Sendable, Equatable, Codable {
  /// A record for each phase of each epoch.
  public private(set) var records: [EpochRecord] = []

  /// An empty history.
  public init() {}

  /// Adds a phase.
  public mutating func append(_ record: EpochRecord) { records.append(record) }

  /// The records of one phase, an epoch each.
  public subscript(phase: Phase) -> [EpochRecord] { records.filter { $0.phase == phase } }
}
