import Residual

/// The JSON that other tools read; the names of the fields are a contract.
struct StepLine: Encodable {
  let event = "step"
  let epoch: Int
  let step: Int
  let loss: Double
  let imagesPerSecond: Double

  enum CodingKeys: String, CodingKey {
    case event, epoch, step, loss
    case imagesPerSecond = "images_per_second"
  }

  init(_ record: StepRecord) {
    epoch = record.epoch
    step = record.step
    loss = record.loss
    imagesPerSecond = record.imagesPerSecond
  }
}

/// One phase of one epoch.
struct EpochLine: Encodable {
  let event = "epoch"
  let epoch: Int
  let phase: Phase
  let loss: Double
  let accuracy: Double
  let f1: Double
  let seconds: Double

  init(_ record: EpochRecord) {
    epoch = record.epoch
    phase = record.phase
    loss = record.loss
    accuracy = record.accuracy
    f1 = record.f1
    seconds = record.seconds
  }
}

/// The result of `evaluate`.
struct EvaluationLine: Encodable {
  let event = "evaluate"
  let images: Int
  let loss: Double
  let accuracy: Double
  let f1: Double

  init(_ metrics: ClassificationMetrics) {
    images = metrics.images
    loss = metrics.loss
    accuracy = metrics.accuracy
    f1 = metrics.f1
  }
}

/// The result of `inspect`.
struct InspectionLine: Encodable {
  /// One tensor.
  struct Entry: Encodable {
    let key: String
    let shape: [Int]
    let dtype: String
  }

  let format: String
  let parameters: Int
  let entries: [Entry]

  init(_ state: StateDict, format: FileFormat) {
    self.format = format.rawValue
    parameters = state.parameterCount
    entries = state.map { Entry(key: $0.key, shape: $0.value.shape, dtype: $0.value.dtype.rawValue) }
  }
}
