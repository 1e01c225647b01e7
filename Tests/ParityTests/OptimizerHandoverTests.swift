import Foundation
import Residual
import Testing

/// The network of `tools/reference/handover.py`.
private final class SmoothNetwork: Module {
  @Child var conv = Conv2d(2, 6, kernelSize: 3, padding: 1)
  @Child var fc = Linear(6 * 8 * 8, 10)

  func callAsFunction(_ x: Tensor) -> Tensor { fc(sigmoid(conv(x)).flattened()) }
}

/// A training that PyTorch begins and ours ends, or the other way round, ends where PyTorch's own does.
private struct Handover {
  static let steps = 3
  let folder: URL
  let optimizer: String
  private let batches: StateDict

  /// Lets PyTorch train: `tools/reference/handover.py`.
  init(optimizer: String) throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "handover-\(UUID().uuidString)")
    self.optimizer = optimizer
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Python.run(
      "tools/reference/handover.py",
      ["start", folder.path, "--optimizer", optimizer])
    batches = try StateDict(contentsOf: folder.appending(path: "batches.h5").path)
  }

  func path(_ name: String) -> String { folder.appending(path: name).path }

  func state(_ file: String) throws -> StateDict { try StateDict(contentsOf: path(file)) }

  func makeModel(_ file: String) throws -> SmoothNetwork {
    let model = SmoothNetwork()
    try model.load(state(file))
    return model
  }

  /// An optimizer of the kind, with hyperparameters that are not those of the script.
  func makeOptimizer(_ model: SmoothNetwork) throws -> any CheckpointableOptimizer {
    switch optimizer {
    case "sgd": try SGD(model.parameters(), learningRate: 0.5)
    case "adam": try Adam(model.parameters(), learningRate: 0.5)
    default: try AdamW(model.parameters(), learningRate: 0.5)
    }
  }

  func train(_ model: SmoothNetwork, _ optimizer: any CheckpointableOptimizer, steps: Range<Int>) throws {
    model.train()
    for step in steps {
      let images = Tensor(try #require(batches["images.\(step)"]))
      let labels = try #require(batches["labels.\(step)"]).scalars(as: Int64.self).map(Int.init)
      optimizer.zeroGradients()
      crossEntropy(model(images), labels).backward()
      optimizer.step()
    }
  }

  /// The largest error of a tensor against PyTorch's float64 run, as a multiple of what is allowed: twice the largest
  /// that PyTorch's float32 run has in one go.
  func excess(of state: StateDict) throws -> Double {
    let (expected, single) = try (self.state("end.float64.h5"), self.state("end.float32.h5"))
    let keys = expected.keys.filter { !$0.hasSuffix("num_batches_tracked") }
    let error = { (state: StateDict) in
      try keys.map { try relativeError(#require(state[$0]), to: #require(expected[$0])) }.max() ?? .infinity
    }
    return try error(state) / max(2 * error(single), Comparison.floor)
  }
}

extension Parity {
  @Test(
    "Either side continues the other's training",
    arguments: ["sgd", "adam", "adamw"])
  func handover(_ kind: String) throws {
    let handover = try Handover(optimizer: kind)
    defer { try? FileManager.default.removeItem(at: handover.folder) }

    // PyTorch begins.
    let model = try handover.makeModel("middle.pth")
    let names = model.namedParameters().map(\.key)
    let optimizer = try handover.makeOptimizer(model)
    try optimizer.restore(OptimizerState(pyTorchFile: handover.path("middle.pth"), names: names), names: names)
    try handover.train(model, optimizer, steps: Handover.steps..<2 * Handover.steps)
    let continued = try handover.excess(of: model.stateDict())
    #expect(continued <= 1, "\(continued.short) times what is allowed")

    // An optimizer that has forgotten, with the same hyperparameters, ends elsewhere.
    let cold = try handover.makeModel("middle.pth")
    let forgetful = try handover.makeOptimizer(cold)
    var state = try OptimizerState(pyTorchFile: handover.path("middle.pth"), names: names)
    state.tensors = StateDict()
    try forgetful.restore(state, names: names)
    try handover.train(cold, forgetful, steps: Handover.steps..<2 * Handover.steps)
    #expect(try handover.excess(of: cold.stateDict()) > 2)

    // We begin, with the hyperparameters of the file.
    let first = try handover.makeModel("start.h5")
    let beginner = try handover.makeOptimizer(first)
    try beginner.restore(state, names: names)
    try handover.train(first, beginner, steps: 0..<Handover.steps)
    let tree = PickleValue.dictionary([
      .init(key: .string("model"), value: PickleValue(first.stateDict())),
      .init(key: .string("optimizer"), value: try beginner.state(names: names).pyTorchValue(names: names)),
    ])
    try PyTorchFile.write(tree, to: handover.path("handed.pth"))
    try Python.run("tools/reference/handover.py", ["finish", handover.folder.path, handover.path("handed.pth")])
    let finished = try handover.excess(of: handover.state("finished.h5"))
    #expect(finished <= 1, "\(finished.short) times what is allowed")
  }
}
