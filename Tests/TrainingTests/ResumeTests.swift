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
    let threads = Threads.count
    defer { Threads.count = threads }
    // The generator is part of what is saved: no other test may draw from this one.
    try Generator.withDefault(Generator(seed: 0)) {
      Threads.count = 1
      try trainWhole(kind)
      let expected = try bytes("whole.h5")
      for threads in [1, 2] {
        Threads.count = threads
        try trainWhole(kind)
        #expect(try bytes("whole.h5") == expected)

        let first = try makeTrainer(kind, seed: 5)
        try first.run(epochs: 2, steps: stop)
        try TrainingCheckpoint(of: first, run: run).write(to: "\(folder)/stopped.h5")
        try resume(TrainingCheckpoint(contentsOf: "\(folder)/stopped.h5"), kind)
        #expect(try bytes("resumed.h5") == expected)
      }
      let cold = try makeTrainer(kind, seed: 99)
      try cold.model.load(try StateDict(contentsOf: "\(folder)/stopped.h5"))
      try cold.run(epochs: 2)
      try TrainingCheckpoint(of: cold, run: run).write(to: "\(folder)/cold.h5")
      #expect(try bytes("cold.h5") != expected)
    }
  }

  @Test("Weights through every format, the optimizer through PyTorch's, and the run still ends with the same bytes")
  func throughOtherFormats() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for kind in Kind.allCases {
      try Generator.withDefault(Generator(seed: 0)) {
        try trainWhole(kind)
        let first = try makeTrainer(kind, seed: 5)
        try first.run(epochs: 2, steps: 4)
        var checkpoint = TrainingCheckpoint(of: first, run: run)
        let names = first.model.namedParameters().map(\.key)
        for ending in ["safetensors", "pth", "npz", "h5"] {
          try checkpoint.model.write(to: "\(folder)/weights.\(ending)")
          checkpoint.model = try StateDict(contentsOf: "\(folder)/weights.\(ending)")
        }
        try PyTorchFile.write(checkpoint.pyTorchValue(parameterNames: names), to: "\(folder)/handed.pth")
        checkpoint.optimizer = try OptimizerState(pyTorchFile: "\(folder)/handed.pth", names: names)
        try resume(checkpoint, kind)
        #expect(try bytes("resumed.h5") == bytes("whole.h5"))
      }
    }
  }

  @Test
  func progressOfOtherImagesIsRefusedAndNothingChanges() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try Generator.withDefault(Generator(seed: 0)) {
      let trainer = try makeTrainer(.adam, seed: 1)
      try trainer.run(epochs: 1, steps: 4)
      let checkpoint = TrainingCheckpoint(of: trainer, run: run)
      let model = DroppingClassifier()
      let fewer = try Trainer(
        model, optimizer: Adam(model.parameters()),
        trainLoader: DataLoader(stripes(10), batchSize: 5, order: .sequential))
      let before = TrainingCheckpoint(of: fewer, run: run)
      #expect(throws: TrainingError.self) { try checkpoint.restore(fewer) }
      #expect(TrainingCheckpoint(of: fewer, run: run) == before)
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

  /// The run that is never stopped.
  private func trainWhole(_ kind: Kind) throws {
    let whole = try makeTrainer(kind, seed: 5)
    try whole.run(epochs: 2)
    try TrainingCheckpoint(of: whole, run: run).write(to: "\(folder)/whole.h5")
  }

  /// Goes on from a checkpoint, in a trainer that was made with other weights, learning rates and no schedule.
  private func resume(_ checkpoint: TrainingCheckpoint, _ kind: Kind) throws {
    let second = try makeTrainer(kind, seed: 99, isAsSaved: false)
    try checkpoint.restore(second)
    try second.run(epochs: 2)
    try TrainingCheckpoint(of: second, run: run).write(to: "\(folder)/resumed.h5")
  }

  private func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: "\(folder)/\(name)")) }

  /// A small network with dropout, so that the random numbers count too; with a schedule, but for plain Adam.
  private func makeTrainer(_ kind: Kind, seed: UInt64, isAsSaved: Bool = true) throws -> Trainer {
    let images = try stripes(22)
    let loader = try DataLoader(images, batchSize: 5, order: .shuffled(seed: 5))
    let test = try DataLoader(images.prefix(8), batchSize: 5, order: .sequential)
    Generator.default.manualSeed(seed)
    let model = DroppingClassifier()
    let parameters = model.parameters()
    let optimizer: any CheckpointableOptimizer =
      switch (kind, isAsSaved) {
      case (.sgd, true): try SGD(parameters, learningRate: 0.05, momentum: 0.9, weightDecay: 0.01)
      case (.sgd, false): try SGD(parameters, learningRate: 0.5)
      case (.adam, true): try Adam(parameters, betas: (0.8, 0.99))
      case (.adam, false): try Adam(parameters, learningRate: 0.5)
      case (.adamw, true): try AdamW(parameters, weightDecay: 0.1)
      case (.adamw, false): try AdamW(parameters, learningRate: 0.5)
      }
    let schedule: LearningRateSchedule? =
      switch kind {
      case .sgd: try LearningRateSchedule(base: 0.05, decay: .cosine(over: 8, minimum: 0), warmUpSteps: 2)
      case .adam: nil
      case .adamw: try LearningRateSchedule(base: 1e-3, decay: .step(every: 3, factor: 0.5))
      }
    return try Trainer(
      model, optimizer: optimizer, trainLoader: loader, testLoader: test, schedule: isAsSaved ? schedule : nil)
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
