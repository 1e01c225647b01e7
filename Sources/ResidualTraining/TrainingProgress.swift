/// Where a run is: enough, with model and optimizer, to go on as if it had never stopped.
public struct TrainingProgress: Sendable, Equatable, Codable {
  /// The epoch that runs or comes next, from 0.
  public private(set) var epoch = 0
  /// Batches of this epoch that are done.
  public private(set) var batch = 0
  /// Steps done since the start of the run.
  public private(set) var step = 0
  /// Time spent training in this epoch; not saved, since the files of equal runs are equal.
  public private(set) var seconds = 0.0
  /// Metrics of this epoch so far.
  public internal(set) var metrics: ClassificationMetrics
  /// The phases that have ended.
  public internal(set) var history = History()

  private enum CodingKeys: CodingKey { case epoch, batch, step, metrics, history }

  /// The start of a run.
  public init(classes: Int) { metrics = ClassificationMetrics(classes: classes) }

  /// The epoch with the best test accuracy so far, the first of equals; nil before the first test.
  public var best: EpochRecord? {
    history[.test].reduce(nil) { best, record in best.map { $0.accuracy >= record.accuracy ? $0 : record } ?? record }
  }

  /// Whether a run of this many classes and batches an epoch can be here.
  func isConsistent(classes: Int, batches: Int) -> Bool {
    metrics.isConsistent && metrics.classes == classes && epoch >= 0 && step >= batch && (0...batches).contains(batch)
  }

  mutating func advance(seconds: Double) {
    batch += 1
    step += 1
    self.seconds += seconds
  }

  mutating func endEpoch(with records: [EpochRecord]) {
    for record in records { history.append(record) }
    epoch += 1
    batch = 0
    seconds = 0
    metrics = ClassificationMetrics(classes: metrics.classes)
  }
}
