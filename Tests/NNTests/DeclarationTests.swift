import ResidualNN
import ResidualTensor
import Testing

private func filled(_ value: Float, _ shape: [Int] = [2]) -> Tensor { Tensor(repeating: value, shape: shape) }

/// Ordinary properties of every kind beside declared ones.
private class Mixed: Module {
  var plainParameter = Parameter(filled(1))
  var plainBuffer = Buffer(filled(2))
  var plainTensor = filled(3)
  var plainModule = Linear(2, 2)
  var plainModules: [any Layer] = [ReLU()]
  var plainOptional: Linear?
  @Registered var scale = Parameter(filled(4))
  @Registered("running_scale") var runningScale = Buffer(filled(5))
  @Registered var scratch = Buffer(filled(6), persistent: false)
  @Registered("num_calls") var calls = Counter(7)
  @Registered var absent: Parameter?
  @Child var head = Linear(2, 3, bias: false)
}

private final class MoreMixed: Mixed {
  @Registered var last = Parameter(filled(8))
  @Registered var _private = Parameter(filled(9))
}

private final class Tied: Module {
  @Child var encoder = Linear(3, 3, bias: false)
  @Registered var decoder: Parameter

  override init() {
    decoder = Parameter(filled(0))
    super.init()
    decoder = encoder.weight
  }
}

private final class Arrays: Module {
  @Child var blocks = [Linear(2, 2, bias: false), Linear(2, 2, bias: false)]
  @Child var layers: [any Layer] = [Linear(2, 2, bias: false), ReLU(), BatchNorm1d(2, affine: false)]
  @Child var others: [Linear]
  @Child var empty: [Linear] = []
  @Child var optional: Linear?
  @Child var chain = Sequential(Linear(2, 2, bias: false), Sequential(Linear(2, 2, bias: false)))

  override init() { _others = Child(wrappedValue: [Linear(2, 2)], "renamed") }
}

private final class Duplicate: Module {
  @Registered("weight") var first = Parameter(filled(1))
  @Registered("weight") var second = Parameter(filled(2))
}

@Suite("State is declared, never inferred")
struct DeclarationTests {
  @Test("Ordinary properties never become keys; the declared come in their order, the base class first")
  func keys() {
    let module = MoreMixed()
    #expect(module.stateDict().keys == ["scale", "running_scale", "num_calls", "last", "_private", "head.weight"])
    #expect(module.namedParameters().map(\.key) == ["scale", "last", "_private", "head.weight"])
    #expect(module.namedBuffers().map(\.key) == ["running_scale", "scratch"])
    #expect(module.namedModules().map(\.path) == ["", "head"])
    #expect(module.stateDict()["num_calls"]?.scalars(as: Int64.self) == [7])
    #expect(module.stateDict()["running_scale"]?.scalars(as: Float.self) == [5, 5])
  }

  @Test("What an ordinary property holds is not trained, frozen or switched to evaluation")
  func ordinaryPropertiesAreLeftAlone() {
    let module = MoreMixed()
    module.freeze()
    module.eval()
    #expect(module.plainParameter.requiresGrad)
    #expect(module.plainModule.isTraining)
    #expect(!module.scale.requiresGrad)
    #expect(!module.head.isTraining)
  }

  @Test("An optional that is filled later appears, and one that is emptied disappears")
  func optionals() {
    let module = Mixed()
    module.absent = Parameter(filled(1))
    #expect(module.stateDict().keys.contains("absent"))
    module.absent = nil
    #expect(!module.stateDict().keys.contains("absent"))
  }

  @Test("Arrays are numbered, layers without state have no keys, sequences nest")
  func arrays() {
    let module = Arrays()
    #expect(
      module.stateDict().keys == [
        "blocks.0.weight", "blocks.1.weight", "layers.0.weight", "layers.2.running_mean", "layers.2.running_var",
        "layers.2.num_batches_tracked", "renamed.0.weight", "renamed.0.bias", "chain.0.weight", "chain.1.0.weight",
      ])
    module.optional = Linear(1, 1)
    module.blocks.append(Linear(1, 1, bias: false))
    let keys = module.stateDict().keys
    #expect(keys.contains("optional.weight") && keys.contains("blocks.2.weight"))
  }

  @Test("A tied parameter is saved under both keys and trained once")
  func tied() throws {
    let module = Tied()
    #expect(module.stateDict().keys == ["decoder", "encoder.weight"])
    #expect(module.namedParameters().map(\.key) == ["decoder"])
    #expect(module.parameters().count == 1)
    _ = try SGD(module.parameters(), learningRate: 1)
    module.decoder.mutate { $0.update(repeating: 5) }
    #expect(module.encoder.weight.value.scalars == Array(repeating: 5, count: 9))
    let other = Tied()
    try other.load(module.stateDict())
    #expect(other.decoder === other.encoder.weight)
    #expect(other.stateDict() == module.stateDict())
  }

  @Test("Two declarations under one key stop the program and name it")
  func duplicateKey() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Duplicate().stateDict()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("Duplicate: two declarations have the key \"weight\""))
  }
}
