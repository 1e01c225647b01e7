import Foundation
import Residual
import Testing

/// One case of the reference: a layer, its weights and input, and what PyTorch makes of them.
struct ParityCase: Decodable, Sendable, CustomTestStringConvertible {
  let name: String
  let file: String
  let layer: String
  let arguments: LayerSpecification.Arguments
  let mode: String
  let weightsFile: String
  /// Whether the reference has PyTorch's results under bfloat16 autocast too.
  let mixedPrecision: Bool

  var testDescription: String { name }

  /// Whether this is a network of many layers and not a layer or a block.
  var isNetwork: Bool { layer == "resnet" && arguments.model != "small-cnn" }

  /// All cases; only the dump's with `RESIDUAL_REPLAY`, which names the file that a failed comparison has left.
  static func all() throws -> [ParityCase] {
    let cases = try ReferenceFolder.decode(ParityCase.self, from: "cases.json")
    guard let replayed else { return cases }
    let name = replayed.deletingPathExtension().lastPathComponent
    let chosen = cases.filter { $0.name == name }
    guard !chosen.isEmpty else {
      throw ReferenceError(description: "RESIDUAL_REPLAY is \(replayed.path), but no parity case is called \(name)")
    }
    return chosen
  }

  private static var replayed: URL? {
    ProcessInfo.processInfo.environment["RESIDUAL_REPLAY"].map { URL(filePath: $0) }
  }

  /// The case's numbers: from the dump with `RESIDUAL_REPLAY`, else from the reference.
  func content() throws -> Content {
    if let replayed = Self.replayed { return Content(try StateDict(contentsOf: replayed.path)) }
    let folder = try ReferenceFolder.url()
    var content = Content(try StateDict(contentsOf: folder.appending(path: file).path))
    if weightsFile != file {
      let shared = Content(try StateDict(contentsOf: folder.appending(path: weightsFile).path)).part("weight")
      for (key, value) in shared where content.tensors["weight.\(key)"] == nil {
        content.tensors["weight.\(key)"] = value
      }
    }
    return content
  }

  /// Tensors by name: `input`, `upstream`, `target`, `weight.KEY`, `expected.RESULT`, `torch32.RESULT`, and
  /// `torch16.RESULT` with `mixedPrecision`.
  struct Content {
    var tensors: StateDict

    init(_ tensors: StateDict) { self.tensors = tensors }

    func callAsFunction(_ name: String) throws -> TensorData {
      guard let tensor = tensors[name] else { throw ReferenceError(description: "the case's file has no '\(name)'") }
      return tensor
    }

    /// The tensors whose names begin with `prefix` and a dot, without it.
    func part(_ prefix: String) -> StateDict {
      StateDict(
        uniqueKeysWithValues: tensors.filter { $0.key.hasPrefix("\(prefix).") }.map {
          (String($0.key.dropFirst(prefix.count + 1)), $0.value)
        })
    }
  }
}

extension ParityCase {
  /// What evaluation without recording gives, where batch norms are folded into convolutions: compared with `output`.
  static let inferenceOutput = "output.inference"

  /// Our results under the reference's names: `output`, `input_grad`, `grad.KEY`, `buffer.KEY`.
  func run(_ content: Content) throws -> StateDict {
    let (module, forward) = try makeSubject(content)
    try module.load(content.part("weight"))
    // A frozen batch norm has to behave as in evaluation though the network trains.
    if mode == "train" || arguments.frozen == true { module.train() } else { module.eval() }

    let input = Tensor(try content("input")).requiringGrad()
    let output = forward(input)
    output.backward(Tensor(try content("upstream")))

    var results: StateDict = ["output": TensorData(output)]
    if mode == "eval" {
      results[Self.inferenceOutput] = withoutRecording { TensorData(forward(input)) }
    }
    results["input_grad"] = input.grad.map { TensorData($0) }
    let parameters = module.namedParameters()
    for (key, parameter) in parameters { results["grad.\(key)"] = parameter.grad.map { TensorData($0) } }
    let names = Set(parameters.map(\.key))
    for (key, value) in module.stateDict() where !names.contains(key) { results["buffer.\(key)"] = value }
    return results
  }

  private func makeSubject(_ content: Content) throws -> (module: Module, forward: (Tensor) -> Tensor) {
    switch layer {
    case "cross_entropy":
      let loss = CrossEntropyLoss()
      let labels = try content("target").scalars(as: Int64.self).map(Int.init)
      return (loss, { loss($0, labels) })
    case "cross_entropy_soft":
      let loss = CrossEntropyLoss()
      let target = Tensor(try content("target"))
      return (loss, { loss($0, probabilities: target) })
    default:
      let module = try LayerSpecification(layer: layer, arguments: arguments).make()
      return (module, { module($0) })
    }
  }
}
