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
