import ArgumentParser
import Foundation
import Residual

/// `resnet inspect`: what a file of weights holds.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "List the tensors of a file.")

  @Argument(help: "State dict.") var file: String
  @Flag(help: "One JSON object on standard output.") var json = false

  func run() throws { try reportingErrors(inspect) }

  private func inspect() throws {
    let state = try StateDict(contentsOf: file)
    let output = Output(json: json)
    if json {
      output.write(
        Listing(
          format: "hdf5", parameters: state.parameterCount,
          entries: state.map { Listing.Entry(key: $0.key, shape: $0.value.shape, dtype: $0.value.dtype.rawValue) }))
      return
    }
    let width = state.keys.map(\.count).max() ?? 0
    for (key, tensor) in state {
      output.say("\(key.padding(toLength: width, withPad: " ", startingAt: 0))  \(tensor.dtype.rawValue)  \(tensor.shape)")
    }
    output.say("\(state.count) entries, \(state.parameterCount) parameters, \(state.byteCount) bytes")
  }

  private struct Listing: Encodable {
    struct Entry: Encodable {
      let key: String
      let shape: [Int]
      let dtype: String
    }
    let format: String
    let parameters: Int
    let entries: [Entry]
  }
}
