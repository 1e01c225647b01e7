import ResidualNN
import ResidualTensor
import Testing

private final class Net: Module, Layer {
  @Child var conv1 = Conv2d(1, 4, kernelSize: 3, padding: 1, bias: false)
  @Child var bn1 = BatchNorm2d(4)
  @Child var head = Sequential(Flatten(), Dropout(0.25), Linear(4 * 16, 3))

  func callAsFunction(_ x: Tensor) -> Tensor { head(relu(bn1(conv1(x)))) }
}

private var images: Tensor { Tensor((0..<32).map { Float($0 % 5) - 1 }, shape: [2, 1, 4, 4]) }

@Suite("Modules")
struct ModuleTests {
  @Test("train() and eval() reach everything below")
  func modes() {
    let net = Net()
    #expect(net.namedModules().allSatisfy { $0.module.isTraining })
    net.eval()
    #expect(net.namedModules().allSatisfy { !$0.module.isTraining })
    net.head.train()
    #expect(!net.isTraining && net.head.isTraining && net.head[1].isTraining)
    net.train()
    #expect(net.namedModules().allSatisfy { $0.module.isTraining })
  }

  @Test("Evaluating for a while gives each module its own mode back, also after an error")
  func evaluating() {
    struct Stop: Error {}
    let net = Net()
    net.bn1.eval()
    #expect(throws: Stop.self) {
      try net.evaluating {
        #expect(net.namedModules().allSatisfy { !$0.module.isTraining })
        throw Stop()
      }
    }
    #expect(net.isTraining && net.conv1.isTraining && !net.bn1.isTraining)
  }

  @Test("Frozen parameters get no gradient and do not move; batch norms stay as they are through train()")
  func freezing() throws {
    let net = Net()
    net.conv1.freeze()
    net.bn1.freeze()
    net.train()
    let before = net.stateDict()
    let optimizer = try SGD(net.parameters(), learningRate: 0.1, momentum: 0.9, weightDecay: 0.1)
    for _ in 0..<3 {
      optimizer.zeroGradients()
      crossEntropy(net(images), [0, 2]).backward()
      #expect(net.conv1.weight.grad == nil)
      #expect(net.bn1.weight?.grad == nil)
      optimizer.step()
    }
    let after = net.stateDict()
    for key in before.keys { #expect((before[key] == after[key]) == !key.hasPrefix("head."), "\(key)") }
    #expect(!net.bn1.usesBatchStatistics)

    net.unfreeze()
    #expect(net.bn1.usesBatchStatistics)
    crossEntropy(net(images), [0, 2]).backward()
    #expect(net.conv1.weight.grad != nil)
    #expect(net.stateDict()["bn1.num_batches_tracked"]?.scalars(as: Int64.self) == [1])
  }

  @Test("A frozen network records nothing for its parameters, but passes gradients through to its input")
  func frozenPassesThrough() {
    let layer = Linear(2, 1)
    layer.freeze()
    let x = Tensor([1, 2], shape: [1, 2]).requiringGrad()
    layer(x).sum().backward()
    #expect(x.grad?.scalars == layer.weight.value.scalars)
    #expect(!layer(x.detached()).requiresGrad)
  }

  @Test("Freezing forgets the gradient, and one on its way does not arrive any more")
  func freezingBetweenForwardAndBackward() {
    let layer = Linear(2, 1)
    let x = Tensor([1, 2], shape: [1, 2])
    layer(x).sum().backward()
    #expect(layer.weight.grad?.scalars == [1, 2])
    let y = layer(x).sum()
    layer.freeze()
    #expect(layer.weight.grad == nil)
    y.backward()
    #expect(layer.weight.grad == nil)
    layer.unfreeze()
    #expect(layer.weight.grad == nil)
    layer(x).sum().backward()
    #expect(layer.weight.grad?.scalars == [1, 2])
  }

  @Test("print(model) is a tree with arguments, shapes and counts")
  func description() {
    let net = Net()
    net.conv1.freeze()
    #expect(
      "\(net)" == """
        Net()  239 parameters
          (conv1): Conv2d(1, 4, kernelSize: 3, padding: 1, bias: false)  weight [4, 1, 3, 3] frozen
          (bn1): BatchNorm2d(4)  weight [4], bias [4]
          (head): Sequential()  195 parameters
            (0): Flatten()
            (1): Dropout(0.25)
            (2): Linear(64, 3)  weight [3, 64], bias [3]
        parameters: 239, trainable: 203
        """)
  }

  @Test("A wrong input names the module by its path")
  func location() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let net = Net()
      net.train()
      _ = net.head(Tensor(repeating: 0, shape: [2, 5]))
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("head.2 (Linear): expected [N, 64], got an input of shape [2, 5]"), "\(text.prefix(300))")
  }

  @Test("A training batch with one value per channel stops before the statistics change")
  func oneValuePerChannel() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = BatchNorm2d(4)(Tensor(repeating: 0, shape: [1, 4, 1, 1]))
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    let words = "BatchNorm2d: one value per channel in an input of shape [1, 4, 1, 1]"
    #expect(text.contains(words), "\(text.prefix(300))")
  }
}

@Suite("Layers with a mode")
struct ModalLayerTests {
  @Test("Batch norm counts its batches and follows PyTorch's formula for running statistics")
  func runningStatistics() {
    let norm = BatchNorm1d(1)
    _ = norm(Tensor([1, 2, 6], shape: [3, 1]))
    // Mean 3, unbiased variance 7: 0.9 * 0 + 0.1 * 3 and 0.9 * 1 + 0.1 * 7.
    #expect(abs(norm.runningMean.value.item - 0.3) < 1e-6)
    #expect(abs(norm.runningVar.value.item - 1.6) < 1e-6)
    #expect(norm.numBatchesTracked.value == 1)
    norm.eval()
    _ = norm(Tensor([100, 200], shape: [2, 1]))
    #expect(abs(norm.runningMean.value.item - 0.3) < 1e-6)
    #expect(norm.numBatchesTracked.value == 1)
  }

  @Test("Without momentum the running statistics are plain averages")
  func cumulativeAverage() {
    let norm = BatchNorm1d(1, momentum: nil)
    for values in [[1, 3], [5, 7], [9, 11]] as [[Float]] { _ = norm(Tensor(values, shape: [2, 1])) }
    #expect(abs(norm.runningMean.value.item - 6) < 1e-5)
    #expect(abs(norm.runningVar.value.item - 2) < 1e-5)
    #expect(norm.numBatchesTracked.value == 3)
  }

  @Test("A counter at the end of its range goes on without a crash")
  func fullCounter() {
    let norm = BatchNorm1d(1)
    norm.numBatchesTracked.value = .max
    _ = norm(Tensor([1, 3], shape: [2, 1]))
    #expect(norm.runningMean.value.item.isFinite)
  }

  @Test("Dropout scales what it keeps in training and is the identity in evaluation")
  func dropout() {
    let layer = Dropout(0.25, generator: Generator(seed: 3))
    let x = Tensor(repeating: 3, shape: [100, 100])
    let y = layer(x).scalars
    #expect(y.allSatisfy { $0 == 0 || abs($0 - 4) < 1e-6 })
    let kept = y.count { $0 != 0 }
    #expect((7300...7700).contains(kept))
    layer.eval()
    #expect(layer(x).scalars == x.scalars)
    layer.train()
    #expect(layer(x).scalars != y)
    #expect(Dropout(0)(x).scalars == x.scalars)
    #expect(Dropout(1)(x).scalars.allSatisfy { $0 == 0 })
  }

  @Test("Dropout's gradient passes where the element was kept")
  func dropoutGradient() {
    let layer = Dropout(0.5, generator: Generator(seed: 4))
    let x = Tensor(repeating: 1, shape: [64]).requiringGrad()
    let y = layer(x)
    y.sum().backward()
    #expect(x.grad?.scalars == y.scalars)
  }
}
