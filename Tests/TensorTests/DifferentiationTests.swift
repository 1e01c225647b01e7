import Foundation
import Testing

@testable import ResidualTensor

@Suite("Recorded differentiation")
struct DifferentiationTests {
  @Test("A gradient that others need too is not overwritten")
  func sharedGradients() {
    let values = { (seed: Int) in Tensor((0..<24).map { Float(($0 * seed) % 11) - 4 }, shape: [4, 3, 2, 1]) }
    func normalized(_ x: Tensor) -> Tensor {
      batchNorm(x, statistics: BatchStatistics(of: x), weight: nil, bias: nil, epsilon: 1e-3, tail: .init(relu: true))
    }
    func gradient(at x: Tensor, _ upstream: Tensor) -> [Float] {
      let x = x.copied().requiringGrad()
      normalized(x).backward(upstream)
      return x.grad?.scalars ?? []
    }
    let (a, b, upstream) = (values(5).requiringGrad(), values(7).requiringGrad(), values(3))
    let wanted = [gradient(at: a, upstream), gradient(at: b, upstream)]
    #expect(wanted[0] != wanted[1] && wanted[0].contains { $0 != 0 })
    let sum = normalized(a) + normalized(b)
    sum.backward(upstream, retainGraph: true)
    #expect(a.grad?.scalars == wanted[0] && b.grad?.scalars == wanted[1])
    #expect(upstream.scalars == values(3).scalars)
    sum.backward(upstream)
    #expect(a.grad?.scalars == wanted[0].map { 2 * $0 } && b.grad?.scalars == wanted[1].map { 2 * $0 })
    // With nobody else to look at it, the gradient between the two is memory for the next.
    let (c, d) = (values(5).requiringGrad(), values(7).requiringGrad())
    (normalized(c) * 1 + normalized(d) * 1).backward(upstream)
    #expect(c.grad?.scalars == wanted[0] && d.grad?.scalars == wanted[1])
  }

  @Test("A tensor that is used twice gets the sum of both gradients")
  func twoUses() {
    let x = Tensor([1, -2, 3], shape: [3]).requiringGrad()
    (x * x + x).backward(Tensor([1, 10, 100], shape: [3]))
    #expect(x.grad?.scalars == [3, -30, 700])
  }

  @Test("Branches that meet again are added before they go on")
  func diamond() {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    let y = x * 2
    (y * y + y).sum().backward()
    #expect(x.grad?.scalars == [10, 18])
  }

  @Test("Gradients of several backward passes add up until they are cleared")
  func accumulation() {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    #expect(x.grad == nil)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    #expect(x.grad?.scalars == [7, 7])
    x.clearGrad()
    #expect(x.grad == nil)
    (x * 5).sum().backward()
    #expect(x.grad?.scalars == [5, 5])
  }

  @Test("A retained record is differentiated as often as one likes")
  func retainedGraph() {
    let x = Tensor([1, -2], shape: [2]).requiringGrad()
    let trunk = relu(x * x)
    let (first, second) = ((trunk * 3).sum(), (trunk * trunk).sum())
    first.backward(retainGraph: true)
    #expect(x.grad?.scalars == [6, -12])
    first.backward(retainGraph: true)
    #expect(x.grad?.scalars == [12, -24])
    x.clearGrad()
    // The last pass through the trunk uses it up.
    second.backward()
    #expect(x.grad?.scalars == [4, -32])
  }

  @Test("A retained record of a recomputed part is computed again each time")
  func retainedRecomputation() {
    let x = Tensor([1, -2], shape: [2]).requiringGrad()
    let y = recomputing { x * x * x }
    for pass in 1...3 {
      y.backward(Tensor(repeating: 1, shape: [2]), retainGraph: true)
      #expect(x.grad?.scalars == [Float(3 * pass), Float(12 * pass)])
    }
  }

  @Test("The upstream gradient belongs to the caller and never changes")
  func upstreamIsNotWrittenTo() {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    let upstream = Tensor([1, 10], shape: [2])
    (x + x).backward(upstream)
    (x + x).backward(upstream)
    #expect(upstream.scalars == [1, 10])
    #expect(x.grad?.scalars == [4, 40])
  }

  @Test("A gradient that was read stays what it was when more arrive")
  func readGradientIsASnapshot() throws {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    (x * 3).sum().backward()
    let first = try #require(x.grad)
    (x * 3).sum().backward()
    #expect(first.scalars == [3, 3])
    #expect(x.grad?.scalars == [6, 6])
  }

  @Test("A leaf with a home has its gradient there, always in the same memory")
  func home() {
    let home = Storage(repeating: 77, count: 2)
    let x = Tensor([1, 2], shape: [2]).requiringGrad(in: home)
    #expect(x.grad == nil)
    (x * x).sum().backward()
    #expect(x.grad?.storage === home)
    #expect(x.grad?.scalars == [2, 4])
    (x * 1).sum().backward()
    #expect(x.grad?.storage === home)
    #expect(x.grad?.scalars == [3, 5])
    x.clearGrad()
    (x * 2).sum().backward()
    #expect(x.grad?.storage === home)
    #expect(x.grad?.scalars == [2, 2])
  }

  @Test("Only leaves keep a gradient")
  func intermediateHasNone() {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    let y = x * 2
    y.sum().backward()
    #expect(y.requiresGrad)
    #expect(y.grad == nil)
    #expect(x.grad?.scalars == [2, 2])
  }

  @Test("Nothing flows through a detached tensor or into a constant")
  func detached() {
    let x = Tensor([3, 4], shape: [2]).requiringGrad()
    let constant = Tensor([5, 6], shape: [2])
    let y = (x * 2).detached()
    #expect(!y.requiresGrad)
    (y * x + constant * x).sum().backward()
    #expect(x.grad?.scalars == [11, 14])
    #expect(constant.grad == nil)
    #expect(!(y * constant).requiresGrad)
  }

  @Test("Without recording nothing is recorded, and recording comes back, also after an error")
  func withoutRecordingIsScoped() {
    struct Stop: Error {}
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    #expect(isRecording(x))
    let y = withoutRecording {
      #expect(!isRecording(x))
      withoutRecording {}
      #expect(!isRecording(x))
      return x * 2
    }
    #expect(!y.requiresGrad)
    #expect(y.scalars == [2, 4])
    #expect(throws: Stop.self) { try withoutRecording { throw Stop() } }
    #expect((x * 2).requiresGrad)
  }

  @Test("A scalar needs no upstream gradient, and one can scale it")
  func scalar() {
    let x = Tensor([1, 2, 3, 4], shape: [2, 2]).requiringGrad()
    x.mean().backward(Tensor(8))
    #expect(x.grad?.shape == [2, 2])
    #expect(x.grad?.scalars == [2, 2, 2, 2])
  }

  @Test("Two results of one computation are differentiated one after the other where they share nothing but leaves")
  func twoRoots() {
    let x = Tensor([1, 2], shape: [2]).requiringGrad()
    let (a, b) = ((x * x).sum(), (x * 3).sum())
    a.backward()
    b.backward()
    #expect(x.grad?.scalars == [5, 7])
  }

  @Test("100,000 operations in a row: backward and release on a stack of 512 KiB")
  func longChain() async {
    await #expect(processExitsWith: .success) {
      let done = DispatchSemaphore(value: 0)
      let thread = Thread {
        let x = Tensor(1).requiringGrad()
        func chain() -> Tensor {
          var y = x
          for _ in 0..<100_000 { y = y + x }
          return y
        }
        let y = chain()
        y.backward()
        #expect(y.item == 100_001)
        #expect(x.grad?.item == 100_001)
        // This one is released with all its captured closures, never differentiated.
        _ = chain()
        done.signal()
      }
      thread.stackSize = 512 << 10
      thread.start()
      done.wait()
    }
  }
}

/// What only a programmer gets wrong stops the program, with a message that says what and where.
@Suite("Broken promises are named")
struct PreconditionTests {
  enum Mistake: String, CaseIterable, Codable {
    case secondBackward, changedFactor, changedWeight, changedStatistics, changedImage, changedLoopsImage
    case changedNormalized, changedMask, changedReLU, changedSigmoid, changedSoftmax
    case backwardOfConstant, backwardWithoutRecording, backwardOfMany
    case wrongUpstream, shapesDiffer, wrongCount, negativeSize, reshapeCount, itemOfMany, labelOutOfRange, labelCount
    case flattenedScalar, poolKernelTooLarge, convolutionChannels

    var message: String {
      switch self {
      case .secondBackward: "backward: this part of the computation was already differentiated"
      case .changedFactor: "backward: a value that * needs for its gradient was changed after the forward pass"
      case .changedWeight, .changedImage:
        "backward: a value that conv2d needs for its gradient was changed after the forward pass"
      case .changedLoopsImage:
        "backward: a value that conv2dWithLoops needs for its gradient was changed after the forward pass"
      case .changedStatistics, .changedNormalized, .changedMask:
        "backward: a value that batchNorm needs for its gradient was changed after the forward pass"
      case .changedReLU: "backward: a value that relu needs for its gradient was changed after the forward pass"
      case .changedSigmoid: "backward: a value that sigmoid needs for its gradient was changed after the forward pass"
      case .changedSoftmax: "backward: a value that softmax needs for its gradient was changed after the forward pass"
      case .backwardOfConstant, .backwardWithoutRecording:
        "backward: the tensor of shape [] depends on nothing that requires a gradient"
      case .backwardOfMany: "backward: a tensor of shape [2] is not a scalar; pass the upstream gradient"
      case .wrongUpstream: "backward: upstream gradient of shape [3] for a tensor of shape [2]"
      case .shapesDiffer: "+: shapes [2] and [1, 2] differ; nothing is broadcast"
      case .wrongCount: "Tensor: 3 elements for shape [2, 2]"
      case .negativeSize: "Tensor: a size in the shape [-1, -2] is negative"
      case .reshapeCount: "reshaped: shape [2] has 2 elements, [3] has another number"
      case .itemOfMany: "item: a tensor of shape [2] has 2 elements"
      case .labelOutOfRange: "crossEntropy: label 3 at index 1 is not one of the 3 classes"
      case .labelCount: "crossEntropy: 1 labels for logits of shape [2, 3]"
      case .flattenedScalar: "flattened: a scalar has no batch dimension"
      case .poolKernelTooLarge: "maxPool2d: the kernel 5 is larger than the padded image of [1, 1, 2, 2]"
      case .convolutionChannels: "conv2d: input [1, 2, 4, 4] has 2 channels, the weight [3, 1, 3, 3] expects 1"
      }
    }

    func make() {
      let x = Tensor([1, 2], shape: [2]).requiringGrad()
      let logits = Tensor(repeating: 0, shape: [2, 3])
      let image = Tensor(repeating: 0, shape: [1, 1, 2, 2])
      switch self {
      case .secondBackward:
        let y = (x * x).sum()
        y.backward()
        y.backward()
      case .changedFactor:
        let y = (x * x).sum()
        x.storage.mutate { $0[0] = 5 }
        y.backward()
      case .changedWeight:
        let weight = Tensor(repeating: 1, shape: [1, 1, 1, 1]).requiringGrad()
        let y = conv2d(image, weight: weight).sum()
        y.backward(retainGraph: true)
        weight.storage.mutate { $0[0] = 2 }
        y.backward()
      case .changedImage, .changedLoopsImage:
        let weight = Tensor(repeating: 1, shape: [1, 1, 1, 1]).requiringGrad()
        let y = self == .changedImage ? conv2d(image, weight: weight) : conv2dWithLoops(image, weight: weight)
        image.storage.mutate { $0[0] = 2 }
        y.sum().backward()
      case .changedNormalized, .changedMask:
        // Where only the input asks for a gradient, the result tells what has passed; else bits of its own do.
        let isFrozen = self == .changedMask
        let input = isFrozen ? image.requiringGrad() : image
        let scale = isFrozen ? nil : Tensor(repeating: 1, shape: [1]).requiringGrad()
        let known = BatchStatistics(mean: Storage(repeating: 0, count: 1), variance: Storage(repeating: 1, count: 1))
        let y = batchNorm(input, statistics: known, weight: scale, bias: nil, epsilon: 0, tail: .init(relu: true))
        (isFrozen ? y : input).storage.mutate { $0[0] = 2 }
        y.sum().backward()
      case .changedReLU, .changedSigmoid, .changedSoftmax:
        let rows = logits.requiringGrad()
        let y = self == .changedReLU ? relu(rows) : self == .changedSigmoid ? sigmoid(rows) : softmax(rows)
        y.storage.mutate { $0[0] = 2 }
        y.sum().backward()
      case .changedStatistics:
        let (mean, weight) = (Storage(repeating: 0, count: 1), Tensor(repeating: 1, shape: [1]).requiringGrad())
        let known = BatchStatistics(mean: mean, variance: Storage(repeating: 1, count: 1))
        let y = batchNorm(image, statistics: known, weight: weight, bias: nil, epsilon: 0).sum()
        mean.mutate { $0[0] = 2 }
        y.backward()
      case .backwardOfConstant: Tensor(1).backward()
      case .backwardWithoutRecording: withoutRecording { x.sum() }.backward()
      case .backwardOfMany: (x * 2).backward()
      case .wrongUpstream: (x * 2).backward(Tensor(repeating: 1, shape: [3]))
      case .shapesDiffer: _ = x + x.reshaped([1, 2])
      case .wrongCount: _ = Tensor([1, 2, 3], shape: [2, 2])
      case .negativeSize: _ = Tensor(repeating: 0, shape: [-1, -2])
      case .reshapeCount: _ = x.reshaped([3])
      case .itemOfMany: _ = x.item
      case .labelOutOfRange: _ = crossEntropy(logits, [0, 3])
      case .labelCount: _ = crossEntropy(logits, [0])
      case .flattenedScalar: _ = Tensor(1).flattened()
      case .poolKernelTooLarge: _ = maxPool2d(image, kernelSize: 5)
      case .convolutionChannels:
        _ = conv2d(
          Tensor(repeating: 0, shape: [1, 2, 4, 4]), weight: Tensor(repeating: 0, shape: [3, 1, 3, 3]), bias: nil,
          options: .init())
      }
    }
  }

  @Test(arguments: Mistake.allCases)
  func message(mistake: Mistake) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [mistake] in
      mistake.make()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains(mistake.message), "\(text.prefix(500))")
  }
}
