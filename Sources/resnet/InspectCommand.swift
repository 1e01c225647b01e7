import ArgumentParser
import Foundation
import Residual

/// `resnet inspect`: what a file of weights holds.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "List the tensors of a file.")

  @Argument(help: "State dict.") var file: String
  @Flag(help: "Look at the numbers too: smallest, largest and mean of the finite ones, and how many are not finite.")
  var statistics = false
  @Flag(help: "One JSON object on standard output.") var json = false

  func run() throws {
    let state = try StateDict(contentsOf: file)
    let output = Output(json: json)
    if json {
      return try output.write(InspectionLine(state, format: FileFormat.detect(file), withStatistics: statistics))
    }
    let width = state.keys.map(\.count).max() ?? 0
    for (key, tensor) in state {
      let name = key.padding(toLength: width, withPad: " ", startingAt: 0)
      let numbers = statistics ? "  \(TensorStatistics(tensor).inWords)" : ""
      try output.say("\(name)  \(tensor.dtype.rawValue)  \(tensor.shape)\(numbers)")
    }
    try output.say("\(state.count) entries, \(state.parameterCount) parameters, \(state.byteCount) bytes")
  }
}

extension TensorStatistics {
  fileprivate var inWords: String {
    let numbers = [("min", minimum), ("max", maximum), ("mean", mean)].map { name, value in
      "\(name) \(value.map { String(format: "%.6g", $0) } ?? "none")"
    }
    return (numbers + ["not finite \(nonFiniteCount)"]).joined(separator: "  ")
  }
}
