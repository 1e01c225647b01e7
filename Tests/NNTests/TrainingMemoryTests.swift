import ResidualNN
import ResidualVision
import Testing

@testable import ResidualTensor

private func images(_ batch: Int, side: Int) -> Tensor {
  Tensor((0..<batch * 3 * side * side).map { Float($0 * 7919 % 255) / 255 }, shape: [batch, 3, side, side])
}

/// The pool is shared by the whole process: what counts its bytes runs in a process of its own.
@Suite("Memory of a training step")
struct TrainingMemoryTests {
  @Test("Two hundred steps of a residual network take what two take", arguments: [false, true])
  func staysFlat(recomputes: Bool) async {
    await #expect(processExitsWith: .success) { [recomputes] in
      let model = CIFARResNet(layers: 20)
      model.recomputesBlocks = recomputes
      let optimizer = try Adam(model.parameters())
      func step() throws {
        optimizer.zeroGradients()
        let loss = crossEntropy(model(images(2, side: 16)), [3, 4])
        loss.backward()
        try clipGradientNorm(model.parameters(), maximum: 1)
        optimizer.step()
      }
      func memory() -> [Int] { [MemoryPool.allocatedBytes, MemoryPool.bytesInUse, MemoryPool.peakBytesInUse] }
      try step()
      try step()
      let afterTwo = memory()
      for _ in 2..<200 { try step() }
      #expect(memory() == afterTwo)
    }
  }

  @Test("A backward pass that steps takes turns with a few gradients' memory, step after step")
  func steppingStaysFlat() async {
    await #expect(processExitsWith: .success) {
      let model = resnet18(inputChannels: 3, classes: 10)
      let optimizer = try Adam(model.parameters())
      func step() -> [Int] {
        crossEntropy(model(images(2, side: 32)), [3, 4]).backward(stepping: optimizer)
        return [MemoryPool.allocatedBytes, MemoryPool.bytesInUse, MemoryPool.peakBytesInUse]
      }
      _ = step()
      let afterTwo = step()
      for _ in 2..<20 { #expect(step() == afterTwo) }
      // There are 45 MB of gradients; two or three blocks for the largest (9.4 MB) serve them all.
      #expect(afterTwo[0] - afterTwo[2] < 32 << 20)
    }
  }

  @Test("Backward frees the activations on its way down and needs room for a few tensors only")
  func backwardFreesAsItGoes() async {
    await #expect(processExitsWith: .success) {
      let batch = 8
      // The largest activation there is: the stem's, 16 channels of 32x32.
      let largest = MemoryPool.blockSize(forBytes: batch * 16 * 32 * 32 * MemoryLayout<Float>.stride)
      let model = CIFARResNet(layers: 20)
      let x = images(batch, side: 32).requiringGrad()
      let before = MemoryPool.bytesInUse
      var atTheEnd = 0
      // An operation below the network, so the last that backward passes.
      let input = Tensor.recorded(x.storage, shape: x.shape, from: x) { _ in atTheEnd = MemoryPool.bytesInUse }
      let loss = crossEntropy(model(input), [0, 1, 2, 3, 4, 5, 6, 7])
      let afterForward = MemoryPool.bytesInUse
      #expect(afterForward - before > 20 * largest)
      loss.backward()
      #expect(MemoryPool.peakBytesInUse - afterForward <= 4 * largest)
      #expect(atTheEnd > before)
      #expect(atTheEnd - before <= largest)
    }
  }
}
