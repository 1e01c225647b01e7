import Foundation
import ResidualNN
import ResidualState
import ResidualTensor
import ResidualTraining
import ResidualVision
import Testing

/// Images whose brightness tells the class, `[count, channels, size, size]`.
func makeImages(_ count: Int, size: Int = 8, channels: Int = 1, classes: Int = 3) throws -> LabeledImages {
  let generator = Generator(seed: 11)
  let labels = (0..<count).map { $0 % classes }
  let pixels = labels.flatMap { label in
    (0..<channels * size * size).map { _ in UInt8(UInt32(label * 60) + generator.draw() % 40) }
  }
  return try LabeledImages(
    pixels: pixels, labels: labels, channels: channels, height: size, width: size,
    classNames: (0..<classes).map { "\($0)" })
}

func makeLoader(_ images: LabeledImages, batchSize: Int, order: EpochOrder = .sequential) throws -> DataLoader {
  try DataLoader(images, batchSize: batchSize, order: order, imageSize: images.width)
}

private func smallCNN(classes: Int = 3) -> SmallCNN {
  Generator.withDefault(Generator(seed: 5)) { SmallCNN(inputChannels: 1, classes: classes, imageSize: 8) }
}

/// Ten images in batches of 4, 4 and 2; six to test on in one batch of 4 and one of 2.
private func makeTrainer(
  _ model: any ImageClassifier, learningRate: Double = 0.01, order: EpochOrder = .sequential, tests: Bool = true
) throws -> Trainer {
  try Trainer(
    model, optimizer: SGD(model.parameters(), learningRate: learningRate, momentum: 0.9),
    trainLoader: makeLoader(makeImages(10), batchSize: 4, order: order),
    testLoader: tests ? makeLoader(makeImages(6), batchSize: 4) : nil)
}

@Suite("The training loop")
struct TrainerTests {
  @Test("Steps and phases come in order, with the numbers of the run")
  func events() throws {
    let trainer = try makeTrainer(smallCNN())
    var steps: [StepRecord] = []
    var epochs: [EpochRecord] = []
    var order = ""
    try trainer.run(epochs: 2) { event in
      switch event {
      case .step(let record):
        steps.append(record)
        order += "s"
      case .epoch(let record):
        epochs.append(record)
        order += record.phase == .train ? "T" : "t"
      }
    }
    #expect(order == "sssTtsssTt")
    #expect(steps.map(\.step) == [1, 2, 3, 4, 5, 6])
    #expect(steps.map(\.epoch) == [0, 0, 0, 1, 1, 1])
    #expect(steps.map(\.batch) == [1, 2, 3, 1, 2, 3])
    #expect(steps.allSatisfy { $0.batches == 3 && $0.imagesPerSecond > 0 && $0.secondsPerBatch > 0 })
    #expect(epochs.map(\.epoch) == [0, 0, 1, 1])
    #expect(epochs.map(\.phase) == [.train, .test, .train, .test])
    #expect(trainer.progress.history.records == epochs)
    #expect(trainer.progress.history[.test] == [epochs[1], epochs[3]])
    #expect((trainer.progress.epoch, trainer.progress.batch, trainer.progress.step) == (2, 0, 6))
    // The mean over images: the batches of 4, 4 and 2 count by their size.
    let mean = (4 * steps[0].loss + 4 * steps[1].loss + 2 * steps[2].loss) / 10
    #expect(abs(epochs[0].loss - mean) < 1e-9)
  }

  @Test("A step is what one writes by hand")
  func sameAsByHand() throws {
    let (model, other) = (smallCNN(), smallCNN())
    let trainer = try makeTrainer(model)
    var losses: [Double] = []
    try trainer.run(steps: 4) { event in
      if case .step(let record) = event { losses.append(record.loss) }
    }
    let loader = try makeLoader(makeImages(10), batchSize: 4)
    let optimizer = try SGD(other.parameters(), learningRate: 0.01, momentum: 0.9)
    var expected: [Double] = []
    for indices in [0..<4, 4..<8, 8..<10, 0..<4] {
      let batch = loader.batch(of: Array(indices)[...])
      optimizer.zeroGradients()
      let loss = crossEntropy(other(batch.images), batch.labels)
      loss.backward()
      optimizer.step()
      expected.append(Double(loss.item))
    }
    #expect(losses == expected)
    #expect(model.stateDict() == other.stateDict())
  }

  @Test("Steps end a run inside an epoch, the test phase follows, and going on ends where a whole run does")
  func stepsAndGoingOn() throws {
    let (model, other) = (smallCNN(), smallCNN())
    let trainer = try makeTrainer(model, order: .shuffled(seed: 3))
    var phases: [Phase] = []
    try trainer.run(epochs: 5, steps: 4) { event in
      if case .epoch(let record) = event { phases.append(record.phase) }
    }
    #expect(phases == [.train, .test, .train, .test])
    #expect((trainer.progress.epoch, trainer.progress.batch, trainer.progress.step) == (1, 1, 4))
    #expect(trainer.progress.history.records.map(\.epoch) == [0, 0])
    try trainer.run(epochs: 2)
    #expect((trainer.progress.epoch, trainer.progress.batch, trainer.progress.step) == (2, 0, 6))
    try trainer.run(epochs: 2)
    #expect(trainer.progress.step == 6)

    let whole = try makeTrainer(other, order: .shuffled(seed: 3))
    try whole.run(epochs: 2)
    #expect(model.stateDict() == other.stateDict())
    let metrics = { (records: [EpochRecord]) in records.map { [$0.loss, $0.accuracy, $0.f1] } }
    #expect(metrics(trainer.progress.history.records) == metrics(whole.progress.history.records))
  }

  @Test("Without test images there is no test phase")
  func withoutTests() throws {
    let trainer = try makeTrainer(smallCNN(), tests: false)
    try trainer.run(epochs: 1)
    #expect(trainer.progress.history.records.map(\.phase) == [.train])
    #expect(trainer.progress.epoch == 1)
  }

  @Test("Training learns: the loss falls and the test images are told apart")
  func learns() throws {
    let trainer = try makeTrainer(smallCNN(), order: .shuffled(seed: 1))
    try trainer.run(epochs: 30)
    let history = trainer.progress.history
    let (first, last) = (try #require(history[.train].first), try #require(history[.test].last))
    #expect(first.loss > 0.5)
    #expect(last.loss < 0.1)
    #expect(last.accuracy == 1 && last.f1 == 1)
  }

  @Test("A batch that leaves one value per channel is refused before anything changes", arguments: [(5, 4), (3, 1)])
  func oneValuePerChannel(images: Int, batchSize: Int) throws {
    // Three stages bring 4x4 images down to 1x1; the last batch has one image.
    let model = CIFARResNet(layers: 8, inputChannels: 1, classes: 3)
    let before = model.stateDict()
    let loader = try makeLoader(makeImages(images, size: 4), batchSize: batchSize)
    let error = #expect(throws: ModelError.self) {
      try Trainer(model, optimizer: SGD(model.parameters(), learningRate: 0.1), trainLoader: loader).run(epochs: 1)
    }
    #expect(error?.code == .oneValuePerChannel)
    #expect(error?.message.contains("a training batch of 1 image of 4x4 leaves one value per channel") == true)
    #expect(model.stateDict() == before)
  }

  @Test("Two images of that size, or one larger one, are enough")
  func twoValuesPerChannel() throws {
    let model = CIFARResNet(layers: 8, inputChannels: 1, classes: 3)
    for (images, size, batchSize) in [(6, 4, 4), (1, 8, 4)] {
      let loader = try makeLoader(makeImages(images, size: size), batchSize: batchSize)
      let optimizer = try SGD(model.parameters(), learningRate: 0.01)
      try Trainer(model, optimizer: optimizer, trainLoader: loader).run(epochs: 1)
    }
  }

  @Test("A loss that is not finite ends the run with the weights of the step before")
  func lossNotFinite() throws {
    let model = smallCNN()
    let trainer = try makeTrainer(model, learningRate: 1e30)
    var afterFirst: StateDict?
    let error = #expect(throws: TrainingError.self) {
      try trainer.run(epochs: 1) { event in
        if case .step(let record) = event {
          #expect(record.step == 1)
          afterFirst = model.stateDict()
        }
      }
    }
    #expect(error?.code == .lossNotFinite)
    #expect(error?.message.contains("at step 2; use a smaller learning rate than 1e+30") == true)
    #expect(model.stateDict() == afterFirst)
    #expect(trainer.progress.step == 1)
  }

  @Test("Weights that the last step has spoilt fail the test phase, before anything is recorded")
  func testLossNotFinite() throws {
    let trainer = try makeTrainer(smallCNN(), learningRate: 1e30)
    let error = #expect(throws: TrainingError.self) { try trainer.run(steps: 1) }
    #expect(error?.code == .lossNotFinite)
    #expect(trainer.progress.history.records.isEmpty)
  }

  enum Misfit: CaseIterable {
    case channels, classes, testChannels, testClasses, testSize

    func make(_ model: SmallCNN) throws -> Trainer {
      let images = try makeImages(10)
      let other =
        switch self {
        case .channels, .testChannels: try makeImages(10, channels: 3)
        case .classes, .testClasses: try makeImages(10, classes: 4)
        case .testSize: try makeImages(10, size: 9)
        }
      let isTrain = self == .channels || self == .classes
      return try Trainer(
        model, optimizer: SGD(model.parameters(), learningRate: 0.1),
        trainLoader: makeLoader(isTrain ? other : images, batchSize: 4),
        testLoader: makeLoader(isTrain ? images : other, batchSize: 4))
    }
  }

  @Test("Images that do not fit the model are refused at the start, test images too", arguments: Misfit.allCases)
  func misfit(what: Misfit) throws {
    let model = smallCNN()
    let before = model.stateDict()
    if what == .testSize {
      let error = #expect(throws: ModelError.self) { try what.make(model) }
      #expect(error?.message.contains("images of 8x8, not 9x9") == true)
    } else {
      let error = #expect(throws: TrainingError.self) { try what.make(model) }
      #expect(error?.code == .mismatch)
      #expect(error?.message.contains("the model takes 1 channels and has 3 classes") == true)
    }
    #expect(model.stateDict() == before)
  }

  @Test("Saved progress of another run is refused", arguments: ["classes", "batch", "negative", "confusion"])
  func foreignProgress(what: String) throws {
    let trainer = try makeTrainer(smallCNN())
    try trainer.run(steps: 2)
    var object = try #require(
      try JSONSerialization.jsonObject(with: JSONEncoder().encode(trainer.progress)) as? [String: Any])
    var metrics = try #require(object["metrics"] as? [String: Any])
    switch what {
    case "classes": metrics["classes"] = 4
    case "confusion": metrics["confusion"] = [1]
    case "batch": object["batch"] = 4
    default: object["epoch"] = -1
    }
    object["metrics"] = metrics
    let progress = try JSONDecoder().decode(
      TrainingProgress.self, from: JSONSerialization.data(withJSONObject: object))
    let error = #expect(throws: TrainingError.self) {
      let model = smallCNN()
      _ = try Trainer(
        model, optimizer: SGD(model.parameters(), learningRate: 0.1),
        trainLoader: makeLoader(makeImages(10), batchSize: 4), progress: progress)
    }
    #expect(error?.code == .mismatch)
  }

  @Test("What the observer throws ends the run and comes out")
  func observerThrows() throws {
    struct Stop: Error {}
    let trainer = try makeTrainer(smallCNN())
    #expect(throws: Stop.self) { try trainer.run(epochs: 1) { _ in throw Stop() } }
    #expect(trainer.progress.step == 1)
  }
}

@Suite("Evaluation")
struct EvaluationTests {
  @Test("Weights and modes stay, nothing is recorded, and the batch size does not matter")
  func changesNothing() throws {
    let model = CIFARResNet(layers: 8, inputChannels: 1, classes: 3)
    let module = try #require(model.namedModules().first { $0.path == "layer1.0" }).module
    module.eval()
    let before = model.stateDict()
    let images = try makeImages(10)
    let one = try evaluate(model, on: makeLoader(images, batchSize: 10)) { logits, _ in #expect(!logits.requiresGrad) }
    let many = try evaluate(model, on: makeLoader(images, batchSize: 3))
    #expect(one.images == 10 && many.images == 10)
    #expect(abs(one.loss - many.loss) < 1e-6)
    #expect(one.confusion == many.confusion)
    #expect(model.stateDict() == before)
    #expect(model.isTraining && !module.isTraining)
  }

  @Test("Logits and labels come in the order of the file, and are what the metrics count")
  func onBatch() throws {
    let model = smallCNN()
    let images = try makeImages(7)
    var labels: [Int] = []
    var rows: [[Float]] = []
    let metrics = try evaluate(model, on: makeLoader(images, batchSize: 3)) { logits, batch in
      #expect(logits.shape == [batch.count, 3])
      let scalars = logits.scalars
      rows += batch.indices.map { Array(scalars[$0 * 3..<$0 * 3 + 3]) }
      labels += batch
    }
    #expect(labels == images.labels)
    let right = zip(rows, labels).count { row, label in row.indices.max { row[$0] < row[$1] } == label }
    #expect(abs(metrics.accuracy - Double(right) / 7) < 1e-12)
  }

  @Test("Images that do not fit are refused with an error")
  func misfit() throws {
    let error = #expect(throws: TrainingError.self) {
      try evaluate(smallCNN(), on: makeLoader(makeImages(4, channels: 3), batchSize: 2))
    }
    #expect(error?.code == .mismatch)
  }

  @Test("Weights that are not numbers are an error, not a number")
  func notFinite() throws {
    let model = smallCNN()
    model.parameters()[0].mutate { $0[0] = .nan }
    let error = #expect(throws: TrainingError.self) {
      try evaluate(model, on: makeLoader(makeImages(4), batchSize: 2))
    }
    #expect(error?.code == .lossNotFinite)
    #expect(model.isTraining)
  }
}
