import ResidualNN
import ResidualState
import ResidualTensor
import Testing

/// What a state dict of `torch.optim` may hold, and what is refused by name.
@Suite("PyTorch's optimizer state")
struct PyTorchOptimizerTests {
  private let names = ["a", "b"]

  private static func group(_ changes: [String: PickleValue] = [:], params: [Int64] = [0, 1]) -> PickleValue {
    var fields: [String: PickleValue] = [
      "lr": .float(0.1), "betas": .tuple([.float(0.9), .float(0.99)]), "eps": .float(1e-8), "weight_decay": .int(0),
      "amsgrad": .bool(false), "maximize": .bool(false), "decoupled_weight_decay": .bool(false),
      "params": .list(params.map { .int($0) }),
    ]
    for (name, value) in changes { fields[name] = value }
    return .dictionary(fields.map { .init(key: .string($0.key), value: $0.value) })
  }

  private static func sgd(_ changes: [String: PickleValue] = [:]) -> PickleValue {
    var fields: [String: PickleValue] = [
      "lr": .float(0.1), "momentum": .float(0.9), "dampening": .int(0), "weight_decay": .int(0),
      "nesterov": .bool(true), "maximize": .bool(false), "params": .list([.int(0), .int(1)]),
    ]
    for (name, value) in changes { fields[name] = value }
    return .dictionary(fields.map { .init(key: .string($0.key), value: $0.value) })
  }

  private static func tree(_ groups: [PickleValue], _ state: [(Int64, [String: PickleValue])] = []) -> PickleValue {
    let items = state.map { number, fields in
      PickleValue.Item(
        key: .int(number),
        value: .dictionary(fields.map { .init(key: .string($0.key), value: $0.value) }))
    }
    return .dictionary([
      .init(key: .string("state"), value: .dictionary(items)),
      .init(key: .string("param_groups"), value: .list(groups)),
    ])
  }

  private let ones = PickleValue.tensor(TensorData([1 as Float, 1], shape: [2]))

  @Test("A momentum that has not begun is None, or not there")
  func noMomentumYet() throws {
    let tree = Self.tree([Self.sgd()], [(0, ["momentum_buffer": .none]), (1, ["momentum_buffer": ones])])
    let state = try OptimizerState(pyTorch: tree, names: names)
    #expect(state.kind == "sgd")
    #expect(state.tensors.keys == ["b.momentum_buffer"])
    #expect(state.hyperparameters == ["lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": 1])
    let parameters = [Parameter(Tensor([0, 0], shape: [2])), Parameter(Tensor([0, 0], shape: [2]))]
    let optimizer = try SGD(parameters, learningRate: 1)
    try optimizer.restore(state, names: names)
    #expect(optimizer.momentum == 0.9 && optimizer.isNesterov && optimizer.learningRate == 0.1)
    #expect(optimizer.momentumBuffers[0] == nil && optimizer.momentumBuffers[1] != nil)
    #expect(optimizer.state(names: names) == state)
  }

  @Test("Steps are numbers or tensors of any type")
  func steps() throws {
    for step in [PickleValue.int(7), .float(7), .tensor(TensorData([7 as Float], shape: []))] {
      let tree = Self.tree([Self.group()], [(1, ["step": step, "exp_avg": ones, "exp_avg_sq": ones])])
      let state = try OptimizerState(pyTorch: tree, names: names)
      #expect(state.kind == "adam" && state.tensors["b.step"]?.scalars(as: Int64.self) == [7])
    }
  }

  @Test("Groups with names are taken in any order where they agree on the hyperparameters")
  func groups() throws {
    let groups = [
      Self.group(["param_names": .list([.string("b")])], params: [0]),
      Self.group(["param_names": .list([.string("a")])], params: [1]),
    ]
    let state = try OptimizerState(
      pyTorch: Self.tree(groups, [(0, ["step": .int(1), "exp_avg": ones, "exp_avg_sq": ones])]), names: names)
    #expect(state.tensors.keys.allSatisfy { $0.hasPrefix("b.") } && state.tensors.count == 3)
  }

  @Test("An old file that does not tell Adam from AdamW needs to be told")
  func oldAdam() throws {
    let old = { (decay: PickleValue) -> PickleValue in
      guard case .dictionary(let items) = Self.group(["weight_decay": decay]) else { return .none }
      return Self.tree([.dictionary(items.filter { $0.key != .string("decoupled_weight_decay") })])
    }
    #expect(try OptimizerState(pyTorch: old(.int(0)), names: names).kind == "adam")
    #expect(try OptimizerState(pyTorch: old(.float(0.1)), kind: "adamw", names: names).kind == "adamw")
    let error = #expect(throws: StateError.self) { try OptimizerState(pyTorch: old(.float(0.1)), names: names) }
    #expect(error?.message.contains("say which, adam or adamw") == true)
  }

  @Test("What is not understood is refused by name")
  func refused() throws {
    let moments: [String: PickleValue] = ["step": .int(1), "exp_avg": ones, "exp_avg_sq": ones]
    let cases: [(PickleValue, String)] = [
      (.dictionary([]), "lacks state or param_groups"),
      (Self.tree([Self.group(["amsgrad": .bool(true)])]), "amsgrad=True"),
      (Self.tree([Self.sgd(["maximize": .bool(true)])]), "maximize=True"),
      (
        Self.tree([Self.sgd(["alpha": .float(0.9), "betas": .tuple([])])]), "none of torch.optim's SGD, Adam and AdamW"
      ),
      (Self.tree([Self.group(params: [0])]), "had 1 parameters, the model has 2"),
      (Self.tree([Self.group(params: [0]), Self.group(params: [1])]), "model.named_parameters()"),
      (
        Self.tree([
          Self.group(["param_names": .list([.string("a")])], params: [0]),
          Self.group(["param_names": .list([.string("b")]), "lr": .float(0.2)], params: [1]),
        ]), "lr is 0.1 in group 0 and 0.2 in group 1"
      ),
      (
        Self.tree([Self.group(["param_names": .list([.string("a"), .string("x")])])]), "not the same, b for one"
      ),
      (Self.tree([Self.group()], [(5, moments)]), "none of its parameters"),
      (Self.tree([Self.group()], [(0, moments.merging(["max_exp_avg_sq": ones]) { $1 })]), "remembers more of a than"),
      (Self.tree([Self.group()], [(0, ["step": .float(1.5)])]), "no whole number"),
      (
        Self.tree(
          [Self.group()],
          [(0, ["exp_avg": .tensor(TensorData([1.0, 1.0] as [Double], shape: [2]))])]), "float64, not float32"
      ),
      (Self.tree([Self.group(["lr": .string("fast")])]), "no number for lr"),
    ]
    for (tree, words) in cases {
      let error = #expect(throws: StateError.self, "\(words)") { try OptimizerState(pyTorch: tree, names: names) }
      #expect(error?.message.contains(words) == true, "\(words): \(error?.message ?? "")")
    }
    let wrong = #expect(throws: StateError.self) {
      try OptimizerState(pyTorch: Self.tree([Self.sgd()]), kind: "adam", names: names)
    }
    #expect(wrong?.message == "the file's optimizer is sgd, not adam")
  }

  @Test("Hyperparameters of a file that no optimizer can have leave it as it was")
  func badHyperparameters() throws {
    let optimizer = try Adam([Parameter(Tensor([0, 0], shape: [2])), Parameter(Tensor([0, 0], shape: [2]))])
    let before = optimizer.state(names: names)
    let state = try OptimizerState(
      pyTorch: Self.tree([Self.group(["betas": .tuple([.float(1), .float(2)])])]), names: names)
    let error = #expect(throws: StateError.self) { try optimizer.restore(state, names: names) }
    #expect(error?.code == .corrupt && error?.message.contains("betas") == true)
    #expect(optimizer.state(names: names) == before)
  }

  @Test("Memory of a parameter that is not named is not lost silently")
  func strayMemory() throws {
    let state = OptimizerState(
      kind: "sgd", hyperparameters: ["lr": 1], tensors: ["c.momentum_buffer": TensorData([1 as Float], shape: [1])])
    let error = #expect(throws: StateError.self) { try state.pyTorchValue(names: names) }
    #expect(error?.message.contains("c.momentum_buffer") == true)
  }
}
