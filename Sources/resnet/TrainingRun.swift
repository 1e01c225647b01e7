import Residual

/// One run of `train` or `fine-tune`: puts the library's parts together by the options.
struct TrainingRun {
  private let options: TrainingOptions
  private let weights: String?
  private let output: Output

  init(_ options: TrainingOptions, weights: String? = nil) {
    self.options = options
    self.weights = weights
    output = Output(json: options.json)
  }

  func run() throws {
    options.network.apply()
    if let checkpoint = options.checkpoint { try AtomicFile.checkWritable(checkpoint) }
    let state = try weights.map { try StateDict(contentsOf: $0) }
    let source = try options.images.source()
    let train = try source.load(.train).limited(to: options.limit)
    let test = try source.load(.test).limited(to: options.testLimit)
    let order = options.keepsOrder ? EpochOrder.sequential : .shuffled(seed: options.seed)
    let trainLoader = try options.images.loader(train, batchSize: options.batchSize, order: order)
    let testLoader = try options.images.loader(test, batchSize: options.batchSize, order: .sequential)

    Generator.default.manualSeed(options.seed)
    let model = options.network.model.build(
      inputChannels: train.channels, classes: train.classes, imageSize: trainLoader.imageSize)
    if let state, let weights {
      let report = try model.load(state, startingFrom: options.network.model)
      try output.note("\(weights): \(report)")
    }
    let trainer = try Trainer(
      model, optimizer: makeOptimizer(model.parameters()), trainLoader: trainLoader, testLoader: testLoader)
    try output.say(
      "\(options.network.model.rawValue) on \(source.name): \(train.count) images of \(trainLoader.imageSize)x"
        + "\(trainLoader.imageSize), batches of \(options.batchSize), \(Threads.count) threads")
    try run(trainer)
  }

  private func run(_ trainer: Trainer) throws {
    defer { output.endProgress() }
    let epochs = options.epochs ?? (options.steps == nil ? 1 : nil)
    try trainer.run(epochs: epochs, steps: options.steps) { event in
      try output.report(event)
      if case .epoch(let record) = event, record.phase == .test, let path = options.checkpoint {
        try trainer.model.stateDict().write(to: path, format: .hdf5)
        try output.say("wrote \(path)")
      }
    }
  }

  private func makeOptimizer(_ parameters: [Parameter]) throws -> any CheckpointableOptimizer {
    switch options.optimizer {
    case .adam: try Adam(parameters, learningRate: options.learningRate)
    case .sgd: try SGD(parameters, learningRate: options.learningRate, momentum: options.momentum)
    }
  }
}
