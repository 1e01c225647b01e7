import ArgumentParser
import Foundation
import Residual

/// `resnet inspect`: what a file of weights holds.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "List the tensors of a file.")

  @Argument(help: "State dict.") var file: String
  @Flag(help: "One JSON object on standard output.") var json = false

  func run() throws {
    let state = try StateDict(contentsOf: file)
    let output = Output(json: json)
    if json { return try output.write(InspectionLine(state, format: FileFormat.detect(file))) }
    let width = state.keys.map(\.count).max() ?? 0
    for (key, tensor) in state {
      let name = key.padding(toLength: width, withPad: " ", startingAt: 0)
      try output.say("\(name)  \(tensor.dtype.rawValue)  \(tensor.shape)")
    }
    try output.say("\(state.count) entries, \(state.parameterCount) parameters, \(state.byteCount) bytes")
  }
}
