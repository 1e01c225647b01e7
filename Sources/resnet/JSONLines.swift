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
    let statistics: Statistics?

    init(_ key: String, _ tensor: TensorData, withStatistics: Bool) {
      self.key = key
      shape = tensor.shape
      dtype = tensor.dtype.rawValue
      statistics = withStatistics ? Statistics(TensorStatistics(tensor)) : nil
    }
  }

  /// The range of a tensor's finite numbers; null where there are none.
  struct Statistics: Encodable {
    let min: Double?
    let max: Double?
    let mean: Double?
    let nonFinite: Int

    enum CodingKeys: String, CodingKey {
      case min, max, mean
      case nonFinite = "non_finite"
    }

    init(_ statistics: TensorStatistics) {
      min = statistics.minimum
      max = statistics.maximum
      mean = statistics.mean
      nonFinite = statistics.nonFiniteCount
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(min, forKey: .min)
      try container.encode(max, forKey: .max)
      try container.encode(mean, forKey: .mean)
      try container.encode(nonFinite, forKey: .nonFinite)
    }
  }

  let format: String
  let parameters: Int
  let entries: [Entry]

  init(_ state: StateDict, format: FileFormat, withStatistics: Bool) {
    self.format = format.rawValue
    parameters = state.parameterCount
    entries = state.map { Entry($0.key, $0.value, withStatistics: withStatistics) }
  }
}
