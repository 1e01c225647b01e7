import Foundation
import ResidualNN
import ResidualState
import ResidualTensor
import ResidualTraining
import ResidualVision
import Testing

/// A resumed run ends with the bytes of the run that was never stopped, and a cold start does not.
@Suite(.serialized)
struct ResumeTests {
  enum Kind: String, CaseIterable {
    case sgd, adam, adamw
  }

  private let folder = FileManager.default.temporaryDirectory.appending(path: "resume-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  @Test(arguments: Kind.allCases, [3, 4, 7])
  func resumedRunEndsWithTheSameBytes(kind: Kind, stop: Int) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // The generator is part of what is saved: no other test may draw from this one.
    try Generator.withDefault(Generator(seed: 0)) {
      let whole = try makeTrainer(kind, seed: 5)
      try whole.run(epochs: 2)
      try TrainingCheckpoint(of: whole, run: run).write(to: "\(folder)/whole.h5")

      let first = try makeTrainer(kind, seed: 5)
      try first.run(epochs: 2, steps: stop)
      try TrainingCheckpoint(of: first, run: run).write(to: "\(folder)/stopped.h5")

      let second = try makeTrainer(kind, seed: 99)
      try TrainingCheckpoint(contentsOf: "\(folder)/stopped.h5").restore(second)
      try second.run(epochs: 2)
      try TrainingCheckpoint(of: second, run: run).write(to: "\(folder)/resumed.h5")

      let cold = try makeTrainer(kind, seed: 99)
      try cold.model.load(try StateDict(contentsOf: "\(folder)/stopped.h5"))
      try cold.run(epochs: 2)
      try TrainingCheckpoint(of: cold, run: run).write(to: "\(folder)/cold.h5")

      let expected = try bytes("whole.h5")
      #expect(try bytes("resumed.h5") == expected)
      #expect(try bytes("cold.h5") != expected)
    }
  }

  @Test
  func optimizerOfAnotherKindIsRefusedAndNothingChanges() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // The generator is part of what is saved: no other test may draw from this one.
    try Generator.withDefault(Generator(seed: 0)) {
      let trainer = try makeTrainer(.adam, seed: 1)
      try trainer.run(epochs: 1, steps: 1)
      let checkpoint = TrainingCheckpoint(of: trainer, run: run)
      let other = try makeTrainer(.sgd, seed: 2)
      let before = TrainingCheckpoint(of: other, run: run)
      let error = #expect(throws: StateError.self) { try checkpoint.restore(other) }
      #expect(error?.message.contains("the saved optimizer is adam, this one is sgd") == true)
      #expect(TrainingCheckpoint(of: other, run: run) == before)
    }
  }

  @Test
  func weightsAloneAreNoCheckpoint() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try makeTrainer(.sgd, seed: 1).model.stateDict().write(to: "\(folder)/weights.h5")
    let error = #expect(throws: StateError.self) { try TrainingCheckpoint(contentsOf: "\(folder)/weights.h5") }
    #expect(error?.description.contains("weights.h5") == true)
    #expect(error?.message.contains("fine-tune --weights") == true)
  }

  private let run = RunInformation(
    model: "cifar-resnet8", inputChannels: 1, classes: 3, dataset: "stripes", images: 22, imageSize: 32, batchSize: 5,
    optimizer: "adam", seed: 5, isShuffled: true)

  private func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: "\(folder)/\(name)")) }

  /// A small network with dropout, so that the random numbers count too.
  private func makeTrainer(_ kind: Kind, seed: UInt64) throws -> Trainer {
    let images = try stripes(22)
    let loader = try DataLoader(images, batchSize: 5, order: .shuffled(seed: 5))
    let test = try DataLoader(images.prefix(8), batchSize: 5, order: .sequential)
    Generator.default.manualSeed(seed)
    let model = DroppingClassifier()
    let parameters = model.parameters()
    let optimizer: any CheckpointableOptimizer =
      switch kind {
      case .sgd: try SGD(parameters, learningRate: 0.05, momentum: 0.9)
      case .adam: try Adam(parameters)
      case .adamw: try AdamW(parameters)
      }
    return try Trainer(model, optimizer: optimizer, trainLoader: loader, testLoader: test)
  }

  /// Three kinds of stripes, a class each.
  private func stripes(_ count: Int) throws -> LabeledImages {
    let side = 8
    let pixels = (0..<count).flatMap { image -> [UInt8] in
      (0..<side * side).map { pixel -> UInt8 in
        let value: Int = pixel * (image % 3 + 1) + image * 7
        return UInt8(value % 256)
      }
    }
    return try LabeledImages(
      pixels: pixels, labels: (0..<count).map { $0 % 3 }, channels: 1, height: side, width: side,
      classNames: ["a", "b", "c"])
  }
}

private final class DroppingClassifier: Module, ImageClassifier {
  @Child var network = CIFARResNet(layers: 8, inputChannels: 1, classes: 3)
  @Child var dropout = Dropout(0.25)
  let inputChannels = 1
  let classes = 3
  var recomputesBlocks: Bool {
    get { network.recomputesBlocks }
    set { network.recomputesBlocks = newValue }
  }

  func callAsFunction(_ x: Tensor) -> Tensor { network(dropout(x)) }

  func validate(batchSize: Int, imageSize: Size2d, isTraining: Bool) throws {}
}
