import ResidualNN
import ResidualTensor
import Testing

private func parameter(_ values: [Float]) -> Parameter { Parameter(Tensor(values, shape: [values.count])) }

@Suite("Optimizers")
struct OptimizerTests {
  enum Refused: CaseIterable {
    case sgdEmpty, adamEmpty, sgdDuplicate, adamDuplicate, sgdNegativeRate, adamNegativeRate, sgdNaNRate
    case adamInfiniteRate, negativeMomentum, negativeDecay, nanDampening, nesterovWithoutMomentum, nesterovWithDampening
    case negativeBeta, betaOfOne, nanBeta, negativeEpsilon, adamWNegativeDecay

    var expected: (code: OptimizerError.Code, words: String) {
      switch self {
      case .sgdEmpty, .adamEmpty: (.noParameters, "the list of parameters is empty")
      case .sgdDuplicate, .adamDuplicate: (.duplicateParameter, "parameter 2, of shape [2], is in the list twice")
      case .sgdNegativeRate, .adamNegativeRate: (.invalidHyperparameter, "learningRate is -0.1")
      case .sgdNaNRate: (.invalidHyperparameter, "learningRate is nan")
      case .adamInfiniteRate: (.invalidHyperparameter, "learningRate is inf")
      case .negativeMomentum: (.invalidHyperparameter, "momentum is -0.9")
      case .negativeDecay, .adamWNegativeDecay: (.invalidHyperparameter, "weightDecay is -1.0")
      case .nanDampening: (.invalidHyperparameter, "dampening is nan")
      case .nesterovWithoutMomentum, .nesterovWithDampening: (.invalidHyperparameter, "Nesterov requires a momentum")
      case .negativeBeta: (.invalidHyperparameter, "betas.0 is -0.1")
      case .betaOfOne: (.invalidHyperparameter, "betas.1 is 1.0")
      case .nanBeta: (.invalidHyperparameter, "betas.0 is nan")
      case .negativeEpsilon: (.invalidHyperparameter, "epsilon is -1e-08")
      }
    }

    func make() throws {
      let (a, b) = (parameter([1, 2]), parameter([3]))
      switch self {
      case .sgdEmpty: _ = try SGD([], learningRate: 0.1)
      case .adamEmpty: _ = try Adam([])
      case .sgdDuplicate: _ = try SGD([a, b, a], learningRate: 0.1)
      case .adamDuplicate: _ = try Adam([a, b, a])
      case .sgdNegativeRate: _ = try SGD([a], learningRate: -0.1)
      case .adamNegativeRate: _ = try Adam([a], learningRate: -0.1)
      case .sgdNaNRate: _ = try SGD([a], learningRate: .nan)
      case .adamInfiniteRate: _ = try Adam([a], learningRate: .infinity)
      case .negativeMomentum: _ = try SGD([a], learningRate: 0.1, momentum: -0.9)
      case .negativeDecay: _ = try SGD([a], learningRate: 0.1, weightDecay: -1)
      case .nanDampening: _ = try SGD([a], learningRate: 0.1, dampening: .nan)
      case .nesterovWithoutMomentum: _ = try SGD([a], learningRate: 0.1, nesterov: true)
      case .nesterovWithDampening: _ = try SGD([a], learningRate: 0.1, momentum: 0.9, dampening: 0.1, nesterov: true)
      case .negativeBeta: _ = try Adam([a], betas: (-0.1, 0.999))
      case .betaOfOne: _ = try Adam([a], betas: (0.9, 1))
      case .nanBeta: _ = try Adam([a], betas: (.nan, 0.999))
      case .negativeEpsilon: _ = try Adam([a], epsilon: -1e-8)
      case .adamWNegativeDecay: _ = try AdamW([a], weightDecay: -1)
      }
    }
  }

  @Test(arguments: Refused.allCases)
  func refuses(what: Refused) {
    let error = #expect(throws: OptimizerError.self) { try what.make() }
    #expect(error?.code == what.expected.code)
    #expect(error?.message.contains(what.expected.words) == true, "\(error?.message ?? "")")
  }

  enum Kind: CaseIterable {
    case sgd, momentum, adam, adamW

    func make(_ parameters: [Parameter]) throws -> any Optimizer {
      switch self {
      case .sgd: try SGD(parameters, learningRate: 0.1)
      case .momentum: try SGD(parameters, learningRate: 0.1, momentum: 0.9, weightDecay: 0.5)
      case .adam: try Adam(parameters, learningRate: 0.1)
      case .adamW: try AdamW(parameters, learningRate: 0.1)
      }
    }
  }

  @Test("A parameter without a gradient is passed over, weight decay or not", arguments: Kind.allCases)
  func skipsWithoutGradient(kind: Kind) throws {
    let (used, unused) = (parameter([1, 2]), parameter([3, 4]))
    let optimizer = try kind.make([used, unused])
    optimizer.step()
    #expect(used.value.scalars == [1, 2])
    (used.value * 2).sum().backward()
    optimizer.step()
    #expect(used.value.scalars != [1, 2])
    #expect(unused.value.scalars == [3, 4])
  }

  @Test("Updates are in place and seen through every reference", arguments: Kind.allCases)
  func updatesInPlace(kind: Kind) throws {
    let layer = Linear(2, 1)
    let (reference, storage, version) = (layer.weight, layer.weight.value.storage, layer.weight.value.storage.version)
    let optimizer = try kind.make(layer.parameters())
    let before = storage.pointer[0]
    layer(Tensor([1, 2], shape: [1, 2])).sum().backward()
    optimizer.step()
    #expect(layer.weight.value.storage === storage)
    #expect(reference.value.scalars == layer.weight.value.scalars)
    #expect(storage.pointer[0] != before)
    #expect(storage.version > version)
  }

  @Test("zeroGradients() forgets gradients, of the optimizer's parameters only")
  func zeroGradients() throws {
    let (mine, other) = (parameter([1]), parameter([2]))
    let optimizer = try SGD([mine], learningRate: 0.1)
    (mine.value * other.value).sum().backward()
    optimizer.zeroGradients()
    #expect(mine.grad == nil)
    #expect(other.grad?.scalars == [1])
  }

  @Test("Two steps of SGD with momentum, by hand")
  func momentumByHand() throws {
    let weight = parameter([1])
    let optimizer = try SGD([weight], learningRate: 0.5, momentum: 0.5)
    for _ in 0..<2 {
      optimizer.zeroGradients()
      (weight.value * 2).sum().backward()
      optimizer.step()
    }
    // The momentum is 2, then 0.5 * 2 + 2 = 3: 1 - 0.5 * 2 - 0.5 * 3.
    #expect(weight.value.scalars == [-1.5])
  }

  @Test("The first step of Adam goes by the learning rate, whatever the gradient's size")
  func adamByHand() throws {
    let weight = parameter([1, 1])
    let optimizer = try Adam([weight], learningRate: 0.25)
    (weight.value * Tensor([1000, -0.001], shape: [2])).sum().backward()
    optimizer.step()
    #expect(abs(weight.value.scalars[0] - 0.75) < 1e-5)
    #expect(abs(weight.value.scalars[1] - 1.25) < 1e-5)
  }

  @Test("A learning rate of zero changes nothing, one that is set is used")
  func learningRate() throws {
    let weight = parameter([1])
    let optimizer = try SGD([weight], learningRate: 0)
    weight.value.sum().backward()
    optimizer.step()
    #expect(weight.value.scalars == [1])
    optimizer.learningRate = 0.5
    optimizer.step()
    #expect(weight.value.scalars == [0.5])
  }
}

@Suite("Clipping gradients")
struct ClippingTests {
  /// Parameters whose gradients are these.
  private func parameters(_ gradients: [[Float]]) -> [Parameter] {
    gradients.map { gradient in
      let parameter = parameter([Float](repeating: 0, count: gradient.count))
      (parameter.value * Tensor(gradient, shape: [gradient.count])).sum().backward()
      return parameter
    }
  }

  @Test("All gradients together get the length asked for, by one factor")
  func byHand() throws {
    let both = parameters([[3, 0], [-4]])
    let homes = both.map { $0.grad?.storage.pointer }
    #expect(try clipGradientNorm(both, maximum: 0.5) == 5)
    let clipped = both.flatMap { $0.grad?.scalars ?? [] }
    for (value, expected) in zip(clipped, [0.3, 0, -0.4] as [Float]) { #expect(abs(value - expected) < 1e-6) }
    #expect(both.map { $0.grad?.storage.pointer } == homes)
  }

  @Test("Gradients that are short enough stay as they are, to the last bit", arguments: [5.1, 1e9, .infinity])
  func shortEnough(maximum: Double) throws {
    let both = parameters([[3, 0], [-4]])
    #expect(try clipGradientNorm(both, maximum: maximum) == 5)
    #expect(both.map { $0.grad?.scalars } == [[3, 0], [-4]])
  }

  @Test("Squares that no float holds are no trouble")
  func large() throws {
    let one = parameters([[3e30, 4e30]])
    let norm = try clipGradientNorm(one, maximum: 1)
    #expect(abs(norm / 5e30 - 1) < 1e-6)
    #expect(abs((one[0].grad?.scalars[1] ?? 0) - 0.8) < 1e-6)
  }

  @Test("Without gradients the norm is 0")
  func noGradients() throws {
    #expect(try clipGradientNorm([], maximum: 1) == 0)
    #expect(try clipGradientNorm([parameter([1, 2])], maximum: 1) == 0)
  }

  @Test(
    "A gradient that is infinite or no number is refused, and all are left alone", arguments: [Float.nan, .infinity])
  func notFinite(value: Float) {
    let both = parameters([[300], [value, 1]])
    let error = #expect(throws: OptimizerError.self) { try clipGradientNorm(both, maximum: 1) }
    #expect(error?.code == .gradientNotFinite)
    #expect(error?.message.contains("a gradient of shape [2] has elements that are infinite") == true)
    #expect(both[0].grad?.scalars == [300])
    #expect(both[1].grad?.scalars[1] == 1)
  }

  @Test("A maximum must be a number from 0 up", arguments: [-1, -Double.infinity, .nan])
  func maximum(maximum: Double) {
    let error = #expect(throws: OptimizerError.self) { try clipGradientNorm([parameter([1])], maximum: maximum) }
    #expect(error?.code == .invalidHyperparameter)
  }
}
