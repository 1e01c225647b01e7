import ArgumentParser
import Foundation
import Residual

#if canImport(Glibc)
  import Glibc
#endif

/// What commands print: lines for people, or one JSON object a line and nothing else.
struct Output {
  let json: Bool
  private let isTerminal = isatty(STDOUT_FILENO) == 1

  init(json: Bool) { self.json = json }

  /// A line for people; nothing when the output is JSON.
  func say(_ line: String) {
    if !json { print(line) }
  }

  /// An object as one line.
  func write(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else {
      preconditionFailure("Output: \(type(of: value)) can't be written as JSON")
    }
    FileHandle.standardOutput.write(data + Data("\n".utf8))
  }

  /// A step or an epoch.
  func report(_ event: TrainingEvent) throws {
    switch event {
    case .step(let record):
      if json { return write(StepLine(record)) }
      showProgress(record)
    case .epoch(let record):
      if json { return write(EpochLine(record)) }
      if isTerminal { print("\r\u{1B}[K", terminator: "") }
      print(
        "epoch \(record.epoch) \(record.phase.rawValue): loss \(record.loss.rounded(4)), accuracy "
          + "\((100 * record.accuracy).rounded(2)) %, F1 \(record.f1.rounded(4)), \(record.seconds.rounded(1)) s")
    }
    fflush(nil)
  }

  /// The result of an evaluation.
  func report(_ metrics: ClassificationMetrics) {
    if json { return write(EvaluationLine(metrics)) }
    print(
      "\(metrics.images) images: accuracy \((100 * metrics.accuracy).rounded(2)) %, F1 \(metrics.f1.rounded(4)), loss "
        + "\(metrics.loss.rounded(4))")
  }

  /// One line that changes in place on a terminal; a line every 50 steps elsewhere.
  private func showProgress(_ record: StepRecord) {
    guard isTerminal || record.batch % 50 == 0 || record.batch == 1 else { return }
    let left = Double(record.batches - record.batch) * record.secondsPerBatch
    let line =
      "epoch \(record.epoch)  \(record.batch)/\(record.batches)  loss \(record.loss.rounded(4))  "
      + "\(Int(record.imagesPerSecond)) images/s  \(Int(left)) s left"
    print(isTerminal ? "\r\u{1B}[K\(line)" : line, terminator: isTerminal ? "" : "\n")
  }
}

/// Runs a command's work; an error becomes one line on standard error and exit code 1.
func reportingErrors(_ work: () throws -> Void) throws {
  do {
    try work()
  } catch {
    let line = "\(error)".split(separator: "\n").joined(separator: " ")
    FileHandle.standardError.write(Data("resnet: error: \(line)\n".utf8))
    throw ExitCode.failure
  }
}

private struct StepLine: Encodable {
  let event = "step"
  let epoch: Int
  let step: Int
  let loss: Double
  let images_per_second: Double

  init(_ record: StepRecord) {
    epoch = record.epoch
    step = record.step
    loss = record.loss
    images_per_second = record.imagesPerSecond
  }
}

private struct EpochLine: Encodable {
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

private struct EvaluationLine: Encodable {
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

extension Double {
  fileprivate func rounded(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}
