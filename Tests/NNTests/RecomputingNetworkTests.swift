import ResidualNN
import ResidualState
import ResidualVision
import Testing

@testable import ResidualTensor

/// A residual network with dropout between its blocks.
private final class DroppingNetwork: Module, Layer {
  @Child var stages: Sequential

  init(recomputes: Bool) {
    stages = Sequential(
      Conv2d(3, 16, kernelSize: 3, padding: 1), BasicBlock(16, 16), Dropout(0.2), Bottleneck(16, 8, stride: 2),
      Dropout(0.3, generator: Generator(seed: 9)), GlobalAveragePooling2d(), Flatten(), Linear(32, 5))
    super.init()
    stages.recomputesLayers = recomputes
  }

  func callAsFunction(_ x: Tensor) -> Tensor { stages(x) }
}

private func images(_ shape: [Int]) -> Tensor {
  Tensor((0..<shape.elementCount).map { Float($0 * 7919 % 255) / 255 }, shape: shape)
}

@Suite("Networks that recompute their blocks")
struct RecomputingNetworkTests {
  enum Network: String, CaseIterable, Codable {
    case resnet18, bottleneck, cifarResNet, smallCNN, dropping

    func make(recomputes: Bool) -> any Layer {
      Generator.withDefault(Generator(seed: 0)) {
        let model: any ImageClassifier
        switch self {
        case .resnet18: model = ResidualVision.resnet18(classes: 10)
        case .bottleneck: model = ResNet([1, 1, 2, 1], classes: 10)
        case .cifarResNet: model = CIFARResNet(layers: 14)
        case .smallCNN: model = SmallCNN(inputChannels: 3, imageSize: 32)
        case .dropping: return DroppingNetwork(recomputes: recomputes)
        }
        model.recomputesBlocks = recomputes
        return model
      }
    }
  }

  @Test(
    "Losses, gradients, running statistics and weights are the same to the last bit, step after step",
    arguments: Network.allCases, [Precision.float32, .bfloat16])
  func sameBits(network: Network, precision: Precision) throws {
    func train(recomputes: Bool) throws -> [StateDict] {
      let model = network.make(recomputes: recomputes)
      let optimizer = try SGD(model.parameters(), learningRate: 0.01, momentum: 0.9)
      return try Generator.withDefault(Generator(seed: 1)) {
        try (0..<3).map { _ in
          optimizer.zeroGradients()
          let x = images([4, 3, 32, 32]).requiringGrad()
          let loss = crossEntropy(withPrecision(precision) { model(x) }, [0, 1, 2, 3])
          loss.backward()
          var results = ["loss": TensorData(loss), "input_grad": try TensorData(#require(x.grad))] as StateDict
          for (key, parameter) in model.namedParameters() {
            results["grad.\(key)"] = try TensorData(#require(parameter.grad))
          }
          optimizer.step()
          for (key, value) in model.stateDict() { results["after.\(key)"] = value }
          return results
        }
      }
    }
    let (kept, recomputed) = (try train(recomputes: false), try train(recomputes: true))
    #expect(kept[0]["loss"] != kept[2]["loss"])
    for (step, (a, b)) in zip(kept, recomputed).enumerated() {
      let different = a.keys.filter { a[$0] != b[$0] }
      #expect(a.keys == b.keys && different.isEmpty, "step \(step): \(different)")
    }
  }

  @Test("A batch counts once in the running statistics")
  func statisticsOnce() {
    let model = CIFARResNet(layers: 8)
    model.recomputesBlocks = true
    for _ in 0..<2 { crossEntropy(model(images([2, 3, 8, 8])), [0, 1]).backward() }
    let counters = model.stateDict().filter { $0.key.hasSuffix("num_batches_tracked") }
    #expect(counters.count == 7)
    #expect(counters.allSatisfy { $0.value.scalars(as: Int64.self) == [2] })
  }

  @Test("After the forward pass only what goes from block to block is in memory")
  func memory() async {
    await #expect(processExitsWith: .success) {
      let batch = 8
      // Floats an image that the stem and the three blocks of each stage give to the next block. What the last one gives
      // is averaged, and only the 64 means are kept.
      let between = 4 * 16 * 32 * 32 + 3 * 32 * 16 * 16 + 2 * 64 * 8 * 8 + 64
      func bytes(recomputes: Bool) -> (kept: Int, peak: Int) {
        let model = CIFARResNet(layers: 20)
        model.recomputesBlocks = recomputes
        let x = images([batch, 3, 32, 32])
        let before = MemoryPool.bytesInUse
        let loss = crossEntropy(model(x), [0, 1, 2, 3, 4, 5, 6, 7])
        let kept = MemoryPool.bytesInUse - before
        loss.backward()
        return (kept, MemoryPool.peakBytesInUse - before)
      }
      let recomputed = bytes(recomputes: true)
      let kept = bytes(recomputes: false)
      let expected = between * batch * MemoryLayout<Float>.stride
      #expect(recomputed.kept >= expected)
      #expect(recomputed.kept <= expected + expected / 50)
      // A block keeps four tensors of its size, of which one is handed on.
      #expect(kept.kept >= 7 * expected / 2)
      #expect(recomputed.peak <= kept.peak / 2, "\(recomputed.peak) of \(kept.peak)")
    }
  }
}
