import Foundation
import Residual
import Testing

/// The losses of a few SGD steps on MNIST in PyTorch, written by `tools/reference/loss_curve.py`.
struct LossCurve: Decodable, Sendable {
  let model: String
  let steps: Int
  let batchSize: Int
  let imageSize: Int
  let lr: Double
  let momentum: Double
  /// The folder with the images: MNIST, or Fashion-MNIST where no mirror answers.
  let images: String
  let float64: [Double]
  let float32: [Double]
  let float32ChannelsLast: [Double]

  /// Reads the curve from the reference's folder, after computing it where it is missing.
  static func load() throws -> (curve: LossCurve, weights: StateDict, images: LabeledImages) {
    let folder = try ReferenceFolder.url()
    let (file, weights) = (folder.appending(path: "loss-curve.json"), folder.appending(path: "loss-curve-weights.h5"))
    if try !ReferenceFolder.isUpToDate(file) {
      guard let mnist = ProcessInfo.processInfo.environment["RESIDUAL_MNIST"] else {
        throw ReferenceError(description: "RESIDUAL_MNIST names no folder with MNIST's four files; run tools/test")
      }
      try Python.run(
        "tools/reference/loss_curve.py",
        ["--mnist", mnist, "--weights-out", weights.path, "--out", file.path])
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let curve = try decoder.decode(LossCurve.self, from: Data(contentsOf: file))
    return (
      curve, try StateDict(contentsOf: weights.path),
      try MNIST.digits.load(.train, from: URL(filePath: curve.images))
    )
  }

  /// How far each loss may be from the float64 run's.
  ///
  /// Twice the largest difference that PyTorch's float32 has shown so far, in two runs that differ only in the order
  /// in which they add. So far, because the difference grows over the steps but passes through zero by chance. And no
  /// less than an ulp of the loss, to which it is rounded itself.
  var bounds: [Double] {
    var largest = 0.0
    return float64.indices.map { step in
      largest = max(
        largest, abs(float32[step] - float64[step]), abs(float32ChannelsLast[step] - float64[step]))
      return max(2 * largest, Double(Float(float64[step]).ulp))
    }
  }
}

extension Parity {
  @Test("Ten steps of SGD on MNIST give PyTorch's losses")
  func lossCurve() throws {
    let (curve, weights, images) = try LossCurve.load()
    let model = try ModelName(named: curve.model).build(inputChannels: 1, classes: 10, imageSize: curve.imageSize)
    try model.load(weights)
    let optimizer = try SGD(model.parameters(), learningRate: curve.lr, momentum: curve.momentum)
    let loader = try DataLoader(images, batchSize: curve.batchSize, order: .sequential, imageSize: curve.imageSize)
    var losses: [Double] = []
    for indices in loader.batches(epoch: 0).prefix(curve.steps) {
      let batch = loader.batch(of: indices)
      optimizer.zeroGradients()
      let loss = crossEntropy(model(batch.images), batch.labels)
      loss.backward()
      optimizer.step()
      losses.append(Double(loss.item))
    }
    #expect(losses.count == curve.float64.count)
    for (step, (loss, bound)) in zip(losses, curve.bounds).enumerated() {
      let difference = abs(loss - curve.float64[step])
      #expect(
        difference <= bound,
        """
        step \(step + 1): loss \(loss), PyTorch's in float64 \(curve.float64[step]); the difference \(difference.short) \
        is more than \(bound.short)
        """)
    }
    try ParityLedger.record(curve, losses)
  }
}
