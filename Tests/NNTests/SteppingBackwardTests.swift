import Foundation
import ResidualNN
import ResidualState
import ResidualTensor
import ResidualVision
import Synchronization
import Testing

private func images(_ shape: [Int]) -> Tensor {
  Tensor((0..<shape.reduce(1, *)).map { Float($0 * 7919 % 255) / 255 - 0.5 }, shape: shape)
}

/// A layer used twice, one beside the optimizer's parameters and one that is frozen.
///
/// Each is large enough to be updated at once, not with others at the end.
private final class OddNetwork: Module {
  @Child var shared = Linear(520, 520)
  @Child var apart = Linear(520, 520)
  @Child var frozen = Linear(520, 520)

  func callAsFunction(_ x: Tensor) -> Tensor { shared(frozen(relu(apart(relu(shared(x)))))) }
}

/// A convolution used twice, and one beside it.
private final class SharedConvolution: Module {
  @Child var shared = Conv2d(96, 96, kernelSize: 3, padding: 1)
  @Child var other = Conv2d(96, 96, kernelSize: 3, padding: 1)

  func callAsFunction(_ x: Tensor) -> Tensor { shared(relu(other(relu(shared(x))))) }
}

/// Descent without anything, as a user would write it.
private final class PlainDescent: Optimizer {
  let parameters: [Parameter]
  var learningRate = 0.1

  init(_ parameters: [Parameter]) { self.parameters = parameters }

  func step(_ indices: [Int]) {
    for index in indices {
      guard let gradient = parameters[index].grad else { continue }
      let rate = Float(learningRate)
      parameters[index].mutate { weight in
        for i in weight.indices { weight[i] -= rate * gradient.storage.pointer[i] }
      }
    }
  }
}

@Suite("A backward pass that steps")
struct SteppingBackwardTests {
  enum Kind: CaseIterable {
    case sgd, adam, adamW, ownOptimizer

    func make(_ parameters: [Parameter], weightDecay: Double? = nil) throws -> any Optimizer {
      switch self {
      case .sgd: return try SGD(parameters, learningRate: 0.01, momentum: 0.9, weightDecay: weightDecay ?? 1e-3)
      case .adam: return try Adam(parameters, learningRate: 1e-3, weightDecay: weightDecay ?? 0)
      case .adamW: return try AdamW(parameters, learningRate: 1e-3, weightDecay: weightDecay ?? 1e-2)
      case .ownOptimizer: return PlainDescent(parameters)
      }
    }
  }

  private func updated(_ loss: Tensor, _ optimizer: any Optimizer, stepping: Bool) {
    if stepping { return loss.backward(stepping: optimizer) }
    loss.backward()
    optimizer.step()
    optimizer.zeroGradients()
  }

  @Test("Weights and optimizer are those of the three calls, to the last bit", arguments: Kind.allCases)
  func sameBits(kind: Kind) throws {
    func train(stepping: Bool) throws -> [StateDict] {
      let model = Generator.withDefault(Generator(seed: 2)) { resnet18(inputChannels: 3, classes: 10) }
      let optimizer = try kind.make(model.parameters())
      return (0..<3).map { _ in
        updated(crossEntropy(model(images([4, 3, 40, 40])), [0, 1, 2, 3]), optimizer, stepping: stepping)
        return model.stateDict()
      }
    }
    let (stepped, expected) = (try train(stepping: true), try train(stepping: false))
    #expect(expected[0]["fc.weight"] != expected[1]["fc.weight"])
    #expect(stepped == expected)
  }

  @Test("Taps that meet only padding have a gradient of zero, seen or not", arguments: Kind.allCases, [0, 1e-3])
  func unmetTaps(kind: Kind, weightDecay: Double) throws {
    func train(stepping: Bool) throws -> [StateDict] {
      let model = Generator.withDefault(Generator(seed: 6)) {
        Sequential(Conv2d(160, 160, kernelSize: 3, padding: 1), Conv2d(160, 160, kernelSize: 3, padding: 1))
      }
      let optimizer = try kind.make(model.parameters(), weightDecay: weightDecay)
      // Images of one position meet one tap, those of 1x2 three; in between all are met, and memory is left in disorder.
      return [(1, 1), (1, 1), (1, 2), (3, 3), (1, 1), (1, 1)].map { height, width in
        let y = model(images([3, 160, height, width]))
        let target = images(y.shape)
        let loss = ((y - target) * (y - target)).mean()
        updated(loss, optimizer, stepping: stepping)
        return model.stateDict()
      }
    }
    let (stepped, expected) = (try train(stepping: true), try train(stepping: false))
    for (step, pair) in zip(stepped, expected).enumerated() { #expect(pair.0 == pair.1, "step \(step)") }
  }

  @Test(
    "Also with recomputed blocks, in bfloat16 and with any number of threads", arguments: [false, true],
    [Precision.float32, .bfloat16])
  func sameBitsElsewhere(recomputes: Bool, precision: Precision) throws {
    let before = Threads.count
    defer { Threads.count = before }
    func train(stepping: Bool, threads: Int) throws -> StateDict {
      Threads.count = threads
      let model = Generator.withDefault(Generator(seed: 3)) { CIFARResNet(layers: 14) }
      model.recomputesBlocks = recomputes
      let optimizer = try Adam(model.parameters())
      for _ in 0..<2 {
        let loss = crossEntropy(withPrecision(precision) { model(images([6, 3, 32, 32])) }, [0, 1, 2, 3, 4, 5])
        updated(loss, optimizer, stepping: stepping)
      }
      return model.stateDict()
    }
    let expected = try train(stepping: false, threads: 1)
    for threads in [1, 2, 3, 8] { #expect(try train(stepping: true, threads: threads) == expected) }
  }

  @Test("A layer used twice steps once, gradients of earlier passes count, others keep theirs")
  func oddNetwork() throws {
    func train(stepping: Bool) throws -> (StateDict, grad: [Float]) {
      let model = Generator.withDefault(Generator(seed: 4)) { OddNetwork() }
      model.frozen.freeze()
      let optimizer = try Adam(model.shared.parameters() + model.frozen.parameters())
      for _ in 0..<2 {
        model.apart.weight.zeroGrad()
        crossEntropy(model(images([2, 520])), [1, 2]).backward()
        updated(crossEntropy(model(images([3, 520])), [3, 4, 5]), optimizer, stepping: stepping)
        #expect(optimizer.parameters.allSatisfy { $0.grad == nil })
      }
      return (model.stateDict(), try #require(model.apart.weight.grad).scalars)
    }
    let (stepped, expected) = (try train(stepping: true), try train(stepping: false))
    #expect(stepped.0 == expected.0)
    #expect(stepped.grad == expected.grad)
  }

  @Test("A convolution used twice has both gradients when it steps", arguments: Kind.allCases)
  func sharedConvolution(kind: Kind) throws {
    func train(stepping: Bool) throws -> StateDict {
      let model = Generator.withDefault(Generator(seed: 7)) { SharedConvolution() }
      let optimizer = try kind.make(model.parameters())
      for _ in 0..<3 { updated(model(images([4, 96, 8, 8])).mean(), optimizer, stepping: stepping) }
      return model.stateDict()
    }
    #expect(try train(stepping: true) == train(stepping: false))
  }

  @Test("Whoever asks for a gradient that is complete gets all of it, while others are being computed")
  func gradientsWhenComplete() throws {
    let weights = (0..<4).map { seed in
      Generator.withDefault(Generator(seed: UInt64(seed))) { Conv2d(128, 128, kernelSize: 3, padding: 1) }.weight.value
    }
    func loss() -> Tensor {
      weights.reduce(images([8, 128, 6, 6])) { conv2d($0, weight: $1, options: .init(padding: 1)) }.mean()
    }
    loss().backward()
    let expected = try weights.map { try #require($0.grad).scalars }
    for weight in weights { weight.clearGrad() }
    var seen: [Int] = []
    Threads.withWorkAside {
      loss().backward(nil, leaves: weights) { index in
        #expect(weights[index].grad?.scalars == expected[index])
        seen.append(index)
      }
    }
    #expect(seen == [3, 2, 1, 0])
  }

  @Test("A gradient that is cleared before it has been computed lives until it has been")
  func clearedBeforeComputed() async {
    await #expect(processExitsWith: .success) {
      Threads.count = 2
      let weight = images([96, 96, 3, 3]).requiringGrad()
      let mayBegin = Atomic<Bool>(false)
      Threads.withWorkAside {
        Threads.runAside(1) { _ in
          while !mayBegin.load(ordering: .acquiring) { sched_yield() }
        }
        let loss = conv2d(images([2, 96, 5, 5]), weight: weight, options: .init(padding: 1)).mean()
        loss.backward(nil, leaves: [weight]) { _ in weight.clearGrad() }
        let others = (0..<8).map { _ in Tensor(repeating: 7, shape: weight.shape) }
        mayBegin.store(true, ordering: .releasing)
        Threads.finishAside()
        #expect(others.allSatisfy { $0.scalars.allSatisfy { $0 == 7 } })
      }
      #expect(weight.grad == nil)
    }
  }

  @Test("What a pass does not reach steps too, with the gradient it has")
  func unreached() throws {
    let (reached, unreached) = (Parameter(Tensor([1, 2], shape: [2])), Parameter(Tensor([3, 4], shape: [2])))
    let optimizer = try SGD([unreached, reached], learningRate: 1)
    (unreached.value * 2).backward(Tensor([1, 1], shape: [2]))
    (reached.value * 3).backward(stepping: optimizer, Tensor([1, 10], shape: [2]))
    #expect(reached.value.scalars == [-2, -28])
    #expect(unreached.value.scalars == [1, 2])
    #expect(reached.grad == nil && unreached.grad == nil)
  }

  @Test("Where gradients live otherwise nothing is written, and the next backward writes there again")
  func leavesHomesAlone() throws {
    let layer = Linear(300, 400)
    let optimizer = try SGD(layer.parameters(), learningRate: 0.1)
    let x = images([5, 300])
    layer(x).backward(images([5, 400]))
    let home = try #require(layer.weight.grad).storage
    let before = home.pointer[7]
    optimizer.zeroGradients()
    layer(x).backward(stepping: optimizer, images([5, 400]) * 2)
    #expect(home.pointer[7] == before)
    layer(x).backward(images([5, 400]) * 3)
    #expect(layer.weight.grad?.storage === home)
    #expect(home.pointer[7] == before * 3)
  }
}
