import Foundation
import ResidualNN
import ResidualTensor
import ResidualVision
import Testing

/// The example of the README, word for word.
private final class SmallCNN: Module {
  @Child var conv = Conv2d(1, 32, kernelSize: 3, padding: 1)
  @Child var fc = Linear(32 * 28 * 28, 10)

  func callAsFunction(_ x: Tensor) -> Tensor { fc(relu(conv(x)).flattened()) }
}

@Suite("The example of the README")
struct ReadmeExample {
  /// A bright bar whose row is the class, in noise.
  private func makeImages(_ count: Int) throws -> LabeledImages {
    let generator = Generator(seed: 1)
    var pixels = (0..<count * 784).map { _ in UInt8(generator.draw() % 64) }
    let labels = (0..<count).map { $0 % 10 }
    for (image, label) in labels.enumerated() {
      for x in 4..<24 { pixels[image * 784 + (4 + 2 * label) * 28 + x] = 255 }
    }
    return try LabeledImages(
      pixels: pixels, labels: labels, channels: 1, height: 28, width: 28, classNames: (0..<10).map { "\($0)" })
  }

  @Test("Ten lines train a network whose loss falls, and its weights survive a file")
  func training() throws {
    let loader = try DataLoader(makeImages(320), batchSize: 32, order: .shuffled(seed: 0), imageSize: 28)
    let model = Generator.withDefault(Generator(seed: 0)) { SmallCNN() }
    let optimizer = try Adam(model.parameters(), learningRate: 1e-3)
    var losses: [Float] = []
    for epoch in 0..<3 {
      for batch in loader.epoch(epoch) {
        optimizer.zeroGradients()
        let loss = crossEntropy(model(batch.images), batch.labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item)
      }
    }
    #expect(losses.count == 30)
    #expect(abs(losses[0] - log(10)) < 0.5)
    #expect(losses.suffix(10).reduce(0, +) / 10 < 0.2)

    let path = FileManager.default.temporaryDirectory.appending(path: "small-cnn-\(UUID().uuidString).h5").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.stateDict().write(to: path)
    let copy = SmallCNN()
    try copy.load(.init(contentsOf: path))
    let batch = loader.batch(of: [0, 1, 2])
    #expect(copy(batch.images).scalars == model(batch.images).scalars)
  }
}
