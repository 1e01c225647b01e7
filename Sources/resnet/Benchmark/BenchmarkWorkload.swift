import Residual

/// Sizes of the network and the batch that are measured.
struct BenchmarkSizes {
  let model: ModelName
  let channels: Int
  let classes: Int
  let imageSize: Int
  let batchSize: Int

  func build() -> any ImageClassifier {
    model.build(inputChannels: channels, classes: classes, imageSize: imageSize)
  }

  func build(weights: String) throws -> any ImageClassifier {
    let model = build()
    try model.load(StateDict(contentsOf: weights))
    return model
  }
}

/// One thing to measure: a step that can be repeated.
struct BenchmarkWorkload {
  /// One step; a number to compare between the sides, where there is one.
  let step: () throws -> Double?

  /// Forward, cross entropy, backward, Adam.
  static func train(_ sizes: BenchmarkSizes, weights: String, data: String) throws -> BenchmarkWorkload {
    let model = try sizes.build(weights: weights)
    let (images, labels) = try batch(data)
    let optimizer = try Adam(model.parameters(), learningRate: 1e-3)
    model.train()
    return BenchmarkWorkload {
      let loss = crossEntropy(model(images), labels)
      loss.backward(stepping: optimizer)
      return Double(loss.item)
    }
  }

  /// A forward pass in evaluation mode.
  static func inference(_ sizes: BenchmarkSizes, weights: String, data: String) throws -> BenchmarkWorkload {
    let model = try sizes.build(weights: weights)
    let (images, _) = try batch(data)
    model.eval()
    return BenchmarkWorkload {
      let logits = withoutRecording { model(images) }.scalars
      return logits.reduce(0) { $0 + Double(abs($1)) } / Double(logits.count)
    }
  }

  /// A backward pass of the seed's convolution: 4 to 2 channels, 3x5, kernel 3, padding 3, batch 8.
  static func convolution(usesLoops: Bool) -> BenchmarkWorkload {
    Generator.default.manualSeed(0)
    let layer: any Layer =
      usesLoops
      ? Conv2dWithLoops(4, 2, kernelSize: 3, padding: 3) : Conv2d(4, 2, kernelSize: 3, padding: 3)
    var scalars = [Float](repeating: 0, count: 8 * 4 * 3 * 5)
    scalars.withUnsafeMutableBufferPointer { Generator.default.normal(into: $0) }
    let x = Tensor(scalars, shape: [8, 4, 3, 5]).requiringGrad()
    let y = layer(x), upstream = Tensor(repeating: 1, shape: y.shape)
    let parameters = layer.parameters()
    return BenchmarkWorkload {
      for parameter in parameters { parameter.zeroGrad() }
      x.clearGrad()
      y.backward(upstream, retainGraph: true)
      return nil
    }
  }

  /// A file's state dict into the model.
  static func load(_ sizes: BenchmarkSizes, weights: String) throws -> BenchmarkWorkload {
    let model = sizes.build()
    return BenchmarkWorkload {
      try model.load(StateDict(contentsOf: weights))
      return nil
    }
  }

  /// The model's state dict to a file, synced.
  static func save(_ sizes: BenchmarkSizes, weights: String, file: String) throws -> BenchmarkWorkload {
    let model = try sizes.build(weights: weights)
    return BenchmarkWorkload {
      try model.stateDict().write(to: file)
      return nil
    }
  }

  private static func batch(_ path: String) throws -> (images: Tensor, labels: [Int]) {
    let data = try StateDict(contentsOf: path)
    guard let images = data["images"], let labels = data["labels"] else {
      throw StateError(.missingKeys, "needs the datasets images and labels", path: path)
    }
    return (Tensor(images), labels.scalars(as: Int64.self).map(Int.init))
  }
}
