import ArgumentParser
import Residual

/// One run of `train` or `fine-tune`: puts the library's parts together by the options.
struct TrainingRun {
  private let options: TrainingOptions
  private let weights: String?
  private let withOptimizer: Bool
  private let reading: WeightsOptions?
  private let output: Output

  init(
    _ options: TrainingOptions, weights: String? = nil, withOptimizer: Bool = false, reading: WeightsOptions? = nil
  ) {
    self.options = options
    self.weights = weights
    self.withOptimizer = withOptimizer
    self.reading = reading
    output = Output(json: options.json)
  }

  func run() throws {
    options.network.apply()
    if let checkpoint = options.checkpoint { try AtomicFile.checkWritable(checkpoint) }
    let state = try weights.map { try reading?.read($0) ?? StateDict(contentsOf: $0) }
    let resumed = try options.resume.map(findCheckpoint)
    let source = try options.images.source()
    let train = try source.load(.train).limited(to: options.limit ?? resumed?.run.images)
    let test = try source.load(.test).limited(to: options.testLimit)
    let (chosen, name) = try choose(resumed?.run, dataset: source.name, train)
    var run = chosen
    let order = run.isShuffled ? EpochOrder.shuffled(seed: run.seed) : .sequential
    let trainLoader = try loader(train, run, order)
    let testLoader = try loader(test, run, .sequential)

    Generator.default.manualSeed(run.seed)
    let model = try run.makeModel()
    if let state, let weights {
      try output.note("\(weights): \(model.load(state, startingFrom: name, options: reading?.loading ?? .strict))")
    }
    if let trained = run.trainedModules, !trained.isEmpty { try model.freeze(allBut: trained) }
    model.recomputesBlocks = options.recompute
    let optimizerState = try resumed?.optimizer ?? handedOver(to: model)
    if let optimizerState { run.optimizer = optimizerState.kind }
    let optimizer = try makeOptimizer(run.optimizer, model.parameters(), optimizerState)
    if resumed == nil, let optimizerState {
      try optimizer.restore(optimizerState, names: model.namedParameters().map(\.key))
    }
    let trainer = try Trainer(
      model, optimizer: optimizer, trainLoader: trainLoader, testLoader: testLoader,
      precision: options.network.precision.precision,
      schedule: resumed == nil ? makeSchedule(optimizer, batches: trainLoader.batchCount) : nil)
    try resumed?.restore(trainer)
    try changeLearningRate(of: trainer)
    try output.say(
      "\(run.model) on \(run.dataset): \(train.count) images of \(run.imageSize)x\(run.imageSize), batches of "
        + "\(run.batchSize), threads: \(Threads.count)")
    try self.run(trainer, run)
  }

  private func run(_ trainer: Trainer, _ run: RunInformation) throws {
    defer { output.endProgress() }
    let store = options.checkpoint.map { CheckpointStore(path: $0, keep: options.keep) }
    let epochs = options.epochs ?? (options.steps == nil ? 1 : nil)
    try trainer.run(epochs: epochs, steps: options.steps) { event in
      try output.report(event)
      guard let store else { return }
      switch event {
      case .epoch(let record) where record.phase == .test:
        try store.save(TrainingCheckpoint(of: trainer, run: run))
        try output.say("wrote \(store.path)")
      case .step(let record) where options.saveEvery.map { record.step % $0 == 0 } ?? false:
        try store.save(TrainingCheckpoint(of: trainer, run: run))
      default: break
      }
    }
  }

  private func findCheckpoint(_ path: String) throws -> TrainingCheckpoint {
    let found = try CheckpointStore.newest(at: path)
    for (path, error) in found.skipped { try output.note("passed over \(path): \(error.message)") }
    try output.note("going on from \(found.path), step \(found.checkpoint.progress.step)")
    return found.checkpoint
  }

  /// The run's settings: those of the checkpoint where there is one, else those of the options.
  private func choose(
    _ saved: RunInformation?, dataset: String, _ images: LabeledImages
  ) throws -> (RunInformation, ModelName) {
    func choose<Value: Equatable>(_ option: String, _ given: Value?, _ saved: Value?, else usual: Value) throws -> Value
    {
      if let given, let saved, given != saved {
        throw ValidationError(
          "the checkpoint's run has \(option) \(saved), not \(given); leave \(option) out to go on with it")
      }
      return given ?? saved ?? usual
    }
    let model = try choose("--model", options.network.model?.rawValue, saved?.model, else: ModelName.resnet101.rawValue)
    let side = max(32, images.height, images.width)
    let run = try RunInformation(
      model: model, inputChannels: images.channels, classes: images.classes,
      dataset: choose("--data", saved.map { _ in dataset }, saved?.dataset, else: dataset),
      images: choose("--limit", options.limit, saved?.images, else: images.count),
      imageSize: choose("--image-size", options.images.imageSize, saved?.imageSize, else: side),
      batchSize: choose("--batch-size", options.batchSize, saved?.batchSize, else: 64),
      optimizer: choose("--optimizer", options.optimizer?.rawValue, saved?.optimizer, else: "adam"),
      seed: choose("--seed", options.seed, saved?.seed, else: 0),
      isShuffled: choose("--no-shuffle", options.keepsOrder ? false : nil, saved?.isShuffled, else: true),
      mean: choose("--mean", options.images.mean?.values, saved?.mean, else: []),
      std: choose("--std", options.images.std?.values, saved?.std, else: []),
      trainedModules: choose(
        "--train-only", options.trainOnly?.values, saved.map { $0.trainedModules ?? [] }, else: []))
    return (run, try ModelName(named: model))
  }

  private func loader(_ images: LabeledImages, _ run: RunInformation, _ order: EpochOrder) throws -> DataLoader {
    try DataLoader(
      images, batchSize: run.batchSize, order: order, imageSize: run.imageSize, mean: run.mean, std: run.std)
  }

  /// The state of PyTorch's optimizer in the file of the weights, if it is wanted.
  private func handedOver(to model: any ImageClassifier) throws -> OptimizerState? {
    guard withOptimizer, let weights else { return nil }
    let state = try OptimizerState(
      pyTorchFile: weights, kind: options.optimizer?.rawValue, names: model.namedParameters().map(\.key))
    try output.note("\(weights): \(state.kind) with \(state.tensors.count) tensors of its state")
    return state
  }

  /// A new optimizer; `saved` will be restored into it, so options must not contradict it.
  private func makeOptimizer(
    _ name: String, _ parameters: [Parameter], _ saved: OptimizerState?
  ) throws -> any CheckpointableOptimizer {
    for (option, given, key) in [
      ("--momentum", options.momentum, "momentum"), ("--weight-decay", options.weightDecay, "weight_decay"),
    ] {
      if let given, let value = saved?.hyperparameters[key], given != value {
        throw ValidationError("the saved optimizer has \(option) \(value), not \(given); leave \(option) out")
      }
    }
    let learningRate = options.learningRate ?? 1e-3
    switch OptimizerName(rawValue: name) {
    case .adam: return try Adam(parameters, learningRate: learningRate, weightDecay: options.weightDecay ?? 0)
    case .adamw: return try AdamW(parameters, learningRate: learningRate, weightDecay: options.weightDecay ?? 0.01)
    case .sgd:
      return try SGD(
        parameters, learningRate: learningRate, momentum: options.momentum ?? 0, weightDecay: options.weightDecay ?? 0)
    case nil: throw ValidationError("the checkpoint's optimizer, \(name), is not one of adam, adamw, sgd")
    }
  }

  /// The schedule that the options describe; one that spans the run ends with its last step.
  private func makeSchedule(_ optimizer: any CheckpointableOptimizer, batches: Int) throws -> LearningRateSchedule? {
    let epochs = options.epochs ?? (options.steps == nil ? 1 : nil)
    let steps = [epochs.map { $0 * batches }, options.steps].compactMap(\.self).min() ?? batches
    return try options.schedule.schedule(from: optimizer.learningRate, steps: steps, batches: batches)
  }

  /// --lr counts also where the optimizer or the schedule come from a file.
  private func changeLearningRate(of trainer: Trainer) throws {
    guard let learningRate = options.learningRate else { return }
    trainer.optimizer.learningRate = learningRate
    try trainer.rebaseSchedule(on: learningRate)
  }
}
