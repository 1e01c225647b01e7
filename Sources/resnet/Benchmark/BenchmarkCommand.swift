import ArgumentParser
import Foundation
import Residual

/// `resnet benchmark`: our side of tools/benchmark, which describes the protocol.
///
/// Warms up, says `ready`, and then measures one round for each line `go` on standard input.
struct BenchmarkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark", abstract: "Measure one row of tools/benchmark.", shouldDisplay: false)

  enum Row: String, ExpressibleByArgument, CaseIterable {
    case train, inference, convolution, load, save
  }

  enum Implementation: String, ExpressibleByArgument, CaseIterable {
    case matrix, loops
  }

  @Option var row: Row
  @OptionGroup var network: NetworkOptions
  @Option var imageSize = 32
  @Option var channels = 1
  @Option var classes = 10
  @Option var batchSize = 64
  @Option var steps = 5
  @Option var warmUp = 2
  @Option var implementation = Implementation.matrix
  @Option var weights: String?
  @Option var data: String?
  @Option var file: String?
  @Flag var json = false

  func run() throws {
    network.apply()
    try withPrecision(network.precision.precision, measure)
  }

  private func measure() throws {
    let output = Output(json: true)
    let workload = try makeWorkload()
    try output.write(Loaded())
    let check = try workload.step()
    let warm = max(1, warmUp - 1)
    try output.write(Ready(check: check, seconds: seconds(of: warm, stepsOf: workload) / Double(warm)))
    while let line = readLine() {
      guard line == "go" else { throw ValidationError("told '\(line)', and knows only 'go'") }
      let seconds = try seconds(of: steps, stepsOf: workload)
      let perStep = row == .convolution ? seconds : seconds / Double(steps)
      try output.write(
        Round(
          seconds: perStep, peak_gflops: MachinePeak.measureGFLOPS(),
          processor_distance_ns: ProcessorDistance.measureNanoseconds()))
    }
    try output.write(
      End(
        peak_memory_bytes: peakResidentBytes(), pool_bytes: MemoryPool.allocatedBytes,
        peak_tensor_bytes: MemoryPool.peakBytesInUse))
  }

  private func seconds(of count: Int, stepsOf workload: BenchmarkWorkload) throws -> Double {
    let start = ContinuousClock.now
    for _ in 0..<count { _ = try workload.step() }
    return (ContinuousClock.now - start) / .seconds(1)
  }

  private func makeWorkload() throws -> BenchmarkWorkload {
    let sizes = BenchmarkSizes(
      model: network.model ?? .resnet101, channels: channels, classes: classes, imageSize: imageSize,
      batchSize: batchSize)
    switch row {
    case .train: return try .train(sizes, weights: required(weights, "--weights"), data: required(data, "--data"))
    case .inference:
      return try .inference(sizes, weights: required(weights, "--weights"), data: required(data, "--data"))
    case .convolution: return .convolution(usesLoops: implementation == .loops)
    case .load: return try .load(sizes, weights: required(weights, "--weights"))
    case .save: return try .save(sizes, weights: required(weights, "--weights"), file: required(file, "--file"))
    }
  }

  private func required(_ value: String?, _ name: String) throws -> String {
    guard let value else { throw ValidationError("\(row.rawValue) needs \(name)") }
    return value
  }

  private struct Loaded: Encodable {
    let event = "loaded"
  }

  private struct Ready: Encodable {
    let event = "ready"
    let check: Double?
    let seconds: Double
  }

  private struct Round: Encodable {
    let event = "round"
    let seconds: Double
    let peak_gflops: Double
    let processor_distance_ns: Double?
  }

  private struct End: Encodable {
    let event = "end"
    let peak_memory_bytes: Int
    let pool_bytes: Int
    let peak_tensor_bytes: Int
  }
}

/// The largest resident set this process has had.
private func peakResidentBytes() -> Int {
  var usage = rusage()
  getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss * 1024
}
