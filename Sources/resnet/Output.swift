import Foundation
import Residual

/// What commands print: lines for people, or one JSON object a line and nothing else.
final class Output {
  private let json: Bool
  private var hasProgressLine = false

  init(json: Bool) { self.json = json }

  /// A line for people; nothing when the output is JSON.
  func say(_ line: String) throws {
    if !json { try Console.write("\(line)\n") }
  }

  /// What people should know also when the output is JSON: then it goes to standard error.
  func note(_ line: String) throws {
    if json { Console.writeError(line) } else { try say(line) }
  }

  /// An object as one line.
  func write(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try Console.write(String(decoding: encoder.encode(value), as: UTF8.self) + "\n")
  }

  /// A step or an epoch.
  func report(_ event: TrainingEvent) throws {
    switch event {
    case .step(let record):
      if json { try write(StepLine(record)) } else { try showProgress(record) }
    case .epoch(let record):
      if json { return try write(EpochLine(record)) }
      try eraseProgress()
      try say(
        "epoch \(record.epoch) \(record.phase.rawValue): loss \(record.loss.rounded(4)), accuracy "
          + "\((100 * record.accuracy).rounded(2)) %, F1 \(record.f1.rounded(4)), \(record.seconds.rounded(1)) s")
    }
  }

  /// The result of an evaluation.
  func report(_ metrics: ClassificationMetrics) throws {
    if json { return try write(EvaluationLine(metrics)) }
    try say(
      "\(metrics.images) images: accuracy \((100 * metrics.accuracy).rounded(2)) %, F1 \(metrics.f1.rounded(4)), loss "
        + "\(metrics.loss.rounded(4))")
  }

  /// One line that changes in place on a terminal; a line every 50 steps elsewhere.
  private func showProgress(_ record: StepRecord) throws {
    let left = Duration.seconds(Double(record.batches - record.batch) * record.secondsPerBatch)
    let line =
      "epoch \(record.epoch)  \(record.batch)/\(record.batches)  loss \(record.loss.rounded(4))  "
      + "\(record.imagesPerSecond.rounded(0)) images/s  \(left.formatted(.time(pattern: .minuteSecond))) left"
    if Console.isTerminal {
      try eraseProgress()
      try Console.write(line)
      hasProgressLine = true
    } else if record.batch == 1 || record.batch % 50 == 0 || record.batch == record.batches {
      try say(line)
    }
  }

  private func eraseProgress() throws {
    if hasProgressLine { try Console.write("\r\u{1B}[K") }
    hasProgressLine = false
  }

  /// Leaves an unfinished progress line as it is and goes to the next, so that an error has a line of its own.
  func endProgress() {
    if hasProgressLine { try? Console.write("\n") }
    hasProgressLine = false
  }
}

extension Double {
  fileprivate func rounded(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}
