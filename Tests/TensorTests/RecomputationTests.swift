import Testing

@testable import ResidualTensor

@Suite("Recomputation")
struct RecomputationTests {
  @Test("The same bits as without, for a tensor that is used inside and outside, and for all that the body captures")
  func sameBits() {
    func gradients(recomputes: Bool) -> [[Float]?] {
      let x = uniformTensor([2, 3, 5, 5], seed: 1).requiringGrad()
      let weight = uniformTensor([3, 3, 3, 3], seed: 2).requiringGrad()
      let scale = uniformTensor([2, 3, 5, 5], seed: 3).requiringGrad()
      let inner = sigmoid(x * scale)
      let computed = inner * 3  // computed outside, differentiated through inside and outside
      let y = recomputing(if: recomputes) {
        let filtered = conv2d(computed, weight: weight, options: .init(padding: 1))
        return relu(filtered + scale) * inner + x
      }
      let z = recomputing(if: recomputes) { sigmoid(conv2d(y, weight: weight, options: .init(padding: 1))) }
      let loss = (z * y + x * computed).sum()
      loss.backward()
      return [loss.scalars, x.grad?.scalars, weight.grad?.scalars, scale.grad?.scalars]
    }
    let (kept, recomputed) = (gradients(recomputes: false), gradients(recomputes: true))
    #expect(kept.allSatisfy { $0 != nil })
    #expect(recomputed == kept)
  }

  @Test("What the body computes is not kept until backward")
  func keepsNothing() async {
    await #expect(processExitsWith: .success) {
      let x = Tensor(repeating: 1, shape: [1000]).requiringGrad()
      let tensorBytes = MemoryPool.blockSize(forBytes: 4000)
      func chain(_ x: Tensor) -> Tensor { (0..<20).reduce(x) { y, _ in sigmoid(y) } }
      let before = MemoryPool.bytesInUse
      let kept = chain(x)
      #expect(MemoryPool.bytesInUse - before == 20 * tensorBytes)
      let recomputed = recomputing { chain(x) }
      #expect(MemoryPool.bytesInUse - before == 21 * tensorBytes)
      #expect(recomputed.scalars == kept.scalars)
    }
  }

  @Test("Random numbers are drawn again as they were, and those that follow are not disturbed")
  func randomNumbers() {
    func run(recomputes: Bool) -> (loss: Float, gradient: [Float]?, states: [Generator.State]) {
      let (own, usual, other) = (Generator(seed: 1), Generator(seed: 2), Generator(seed: 3))
      let x = uniformTensor([100], seed: 4).requiringGrad()
      let loss = Generator.withDefault(usual) {
        let y = recomputing(if: recomputes) {
          let dropped = dropout(dropout(x, probability: 0.3, generator: own), probability: 0.2)
          return sigmoid(dropout(dropped, probability: 0.4, generator: own))
        }
        return (y * dropout(y, probability: 0.5)).sum()
      }
      _ = own.draw()
      // Backward under another default: the computation has to find the one that it had.
      Generator.withDefault(other) { loss.backward() }
      return (loss.item, x.grad?.scalars, [own.state, usual.state, other.state])
    }
    let (kept, recomputed) = (run(recomputes: false), run(recomputes: true))
    #expect(recomputed.loss == kept.loss)
    #expect(recomputed.gradient == kept.gradient && kept.gradient != nil)
    #expect(recomputed.states == kept.states)
    #expect(kept.states[2] == Generator.State(seed: 3))
  }

  @Test("The second time has the precision of the first")
  func precision() {
    let same = ConvolutionOptions(padding: 1)
    func gradients(recomputes: Bool) -> [[Float]?] {
      let x = uniformTensor([2, 16, 4, 4], seed: 5).requiringGrad()
      let weight = uniformTensor([16, 16, 3, 3], seed: 6).requiringGrad()
      let y = withPrecision(.bfloat16) {
        recomputing(if: recomputes) {
          sigmoid(conv2d(sigmoid(conv2d(x, weight: weight)), weight: weight, options: same))
        }
      }
      y.sum().backward()
      return [y.scalars, x.grad?.scalars, weight.grad?.scalars]
    }
    #expect(gradients(recomputes: true) == gradients(recomputes: false))
  }

  @Test("One inside another, each run as often as it must be")
  func nested() {
    var (outer, inner, again) = (0, 0, 0)
    let x = uniformTensor([10], seed: 7).requiringGrad()
    let y = recomputing {
      outer += 1
      if isRecomputing { again += 1 }
      return recomputing {
        inner += 1
        return sigmoid(x) * x
      }
    }
    #expect([outer, inner, again] == [1, 1, 0])
    #expect(!isRecomputing)
    y.sum().backward()
    // The inner one: at first, in the second run of the outer one, and for its own gradient.
    #expect([outer, inner, again] == [2, 3, 1])
    let z = uniformTensor([10], seed: 7).requiringGrad()
    (sigmoid(z) * z).sum().backward()
    #expect(x.grad?.scalars == z.grad?.scalars)
  }

  @Test("Where nothing requires a gradient, or nothing is computed, the tensor is the body's own")
  func nothingToDifferentiate() {
    let constant = uniformTensor([3], seed: 8)
    #expect(!recomputing { sigmoid(constant) }.requiresGrad)
    let x = constant.requiringGrad()
    #expect(!withoutRecording { recomputing { sigmoid(x) } }.requiresGrad)
    let same = recomputing { x }
    #expect(same.storage === x.storage)
    (same * 2).sum().backward()
    #expect(x.grad?.scalars == [2, 2, 2])
  }

  @Test("What has been frozen since takes no gradient any more")
  func frozenSince() {
    let (x, weight) = (uniformTensor([3], seed: 9).requiringGrad(), uniformTensor([3], seed: 10).requiringGrad())
    let y = recomputing { (isRecomputing ? weight.detached() : weight) * 2 }
    let z = recomputing { (isRecomputing ? weight.detached() : weight) * x }
    (y + z).sum().backward()
    #expect(weight.grad == nil)
    #expect(x.grad?.scalars == weight.scalars)
  }

  enum Mistake: String, CaseIterable, Codable {
    case otherShape, otherTensor, backwardInside

    var message: String {
      switch self {
      case .otherShape: "recomputing: the computation gave [2] and now gives [1, 2]"
      case .otherTensor: "recomputing: the computation gave [2] and now gives [2]; it must do the same each time"
      case .backwardInside: "backward: inside recomputing nothing can be differentiated"
      }
    }

    func make() {
      let x = Tensor([1, 2], shape: [2]).requiringGrad()
      switch self {
      case .otherShape:
        recomputing { isRecomputing ? x.reshaped([1, 2]) * 2 : x * 2 }.sum().backward()
      case .otherTensor:
        recomputing { isRecomputing ? x : x * 2 }.sum().backward()
      case .backwardInside:
        _ = recomputing {
          x.sum().backward()
          return x * 2
        }
      }
    }
  }

  @Test("A computation that does not repeat itself is named", arguments: Mistake.allCases)
  func message(mistake: Mistake) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [mistake] in
      mistake.make()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains(mistake.message), "\(mistake): \(text.prefix(300))")
  }
}
