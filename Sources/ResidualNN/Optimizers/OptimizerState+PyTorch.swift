import ResidualState

/// The optimizers' memory as `torch.optim` lays it out: `state` by the parameter's position, and `param_groups`.
extension OptimizerState {
  /// What `state_dict()` of the `torch.optim` optimizer of the same kind gives, for its `load_state_dict()`.
  ///
  /// - Parameter names: The keys of the parameters in the order of PyTorch's `model.parameters()`.
  /// - Throws: `StateError` when there is memory of a parameter that is not among them, or the kind has no counterpart.
  public func pyTorchValue(names: [String]) throws(StateError) -> PickleValue {
    var state: [PickleValue.Item] = []
    var left = Set(tensors.keys)
    for (position, name) in names.enumerated() {
      var fields: [PickleValue.Item] = []
      for field in try TorchOptimizer(kind: kind).fields {
        guard let tensor = tensors["\(name).\(field)"] else { continue }
        left.remove("\(name).\(field)")
        // PyTorch counts steps in float32.
        fields.append(.init(field, .tensor(field == "step" ? tensor.converted(to: .float32) : tensor)))
      }
      if !fields.isEmpty { state.append(.init(key: .int(Int64(position)), value: .dictionary(fields))) }
    }
    if let key = left.min() {
      throw StateError(
        .unexpectedKeys, "the optimizer remembers \(left.count) tensors of other parameters, \(key) for one", key: key)
    }
    let group =
      try TorchOptimizer(kind: kind).group(hyperparameters)
      + [.init("params", .list(names.indices.map { .int(Int64($0)) }))]
    return .dictionary([.init("state", .dictionary(state)), .init("param_groups", .list([.dictionary(group)]))])
  }

  /// The memory in the `state_dict()` of a `torch.optim.Adam`, `AdamW` or `SGD`.
  ///
  /// Several parameter groups are taken where all have the same hyperparameters and their parameters' names, which an
  /// optimizer made of `model.named_parameters()` keeps.
  ///
  /// - Parameters:
  ///   - value: The state dict, as ``PyTorchFile/read(_:)`` gives it.
  ///   - kind: `sgd`, `adam` or `adamw`; needed where an old file does not tell `adam` from `adamw`.
  ///   - names: The keys of the parameters in the order of PyTorch's `model.parameters()`.
  /// - Throws: `StateError` that names what is not understood: another optimizer, `amsgrad`, `maximize`, groups that differ.
  public init(pyTorch value: PickleValue, kind: String? = nil, names: [String]) throws(StateError) {
    guard case .list(let groups)? = value["param_groups"], let first = groups.first, let state = value["state"]?.items
    else {
      throw StateError(
        .wrongFormat, "this is no optimizer's state dict: it lacks state or param_groups; save optimizer.state_dict()")
    }
    let optimizer = try TorchOptimizer(of: first, expected: kind)
    let hyperparameters = try optimizer.hyperparameters(of: first)
    for (index, group) in groups.enumerated().dropFirst() {
      let others = try optimizer.hyperparameters(of: group)
      guard let name = hyperparameters.keys.sorted().first(where: { hyperparameters[$0] != others[$0] }) else {
        continue
      }
      throw StateError(
        .unsupported,
        "parameter groups with hyperparameters of their own are not supported: \(name) is "
          + "\(hyperparameters[name] ?? .nan) in group 0 and \(others[name] ?? .nan) in group \(index)", key: name)
    }
    let order = try Self.names(of: groups, names)
    var tensors = StateDict()
    for item in state {
      guard case .int(let position) = item.key, let name = order[position], let fields = item.value.items else {
        throw StateError(.corrupt, "the optimizer's state has an entry that belongs to none of its parameters")
      }
      for field in fields {
        guard let tensor = try optimizer.tensor(of: field, name: name) else { continue }
        tensors["\(name).\(tensor.field)"] = tensor.data
      }
    }
    self.init(kind: optimizer.kind, hyperparameters: hyperparameters, tensors: tensors)
  }

  /// The memory in a file of `torch.save`: `{"model": ..., "optimizer": optimizer.state_dict()}`, or the state dict alone.
  ///
  /// - Throws: `StateError`; see ``init(pyTorch:kind:names:)``.
  public init(pyTorchFile path: String, kind: String? = nil, names: [String]) throws(StateError) {
    let root = try PyTorchFile.read(path)
    let found = ["optimizer", "optimizer_state_dict", "optim"].compactMap { root[$0] }.first ?? root
    do throws(StateError) {
      try self.init(pyTorch: found, kind: kind, names: names)
    } catch {
      throw StateError(error.code, error.message, key: error.key, path: path, cause: error.cause)
    }
  }

  /// The name of each parameter by its number in the file.
  private static func names(of groups: [PickleValue], _ names: [String]) throws(StateError) -> [Int64: String] {
    var order: [Int64: String] = [:]
    for group in groups {
      let numbers = group["params"]?.elements ?? []
      let given = group["param_names"]?.elements
      guard given != nil || groups.count == 1 else {
        throw StateError(
          .unsupported,
          "the file has \(groups.count) parameter groups without names, so which parameter is which can't be told; make "
            + "PyTorch's optimizer of model.named_parameters()")
      }
      let labels = given?.compactMap { if case .string(let name) = $0 { name } else { nil } } ?? names
      for (number, label) in zip(numbers, labels) {
        if case .int(let number) = number { order[number] = label }
      }
      guard numbers.count == labels.count else { break }
    }
    let missing = Set(names).subtracting(order.values)
    let unexpected = Set(order.values).subtracting(names)
    guard missing.isEmpty, unexpected.isEmpty, order.count == names.count,
      groups.reduce(0, { $0 + ($1["params"]?.elements?.count ?? 0) }) == names.count
    else {
      let example = (missing.min() ?? unexpected.min()).map { ", \($0) for one" } ?? ""
      throw StateError(
        .missingKeys,
        "PyTorch's optimizer had \(groups.reduce(0) { $0 + ($1["params"]?.elements?.count ?? 0) }) parameters, the model "
          + "has \(names.count); they are not the same\(example)", key: missing.min() ?? unexpected.min())
    }
    return order
  }
}

extension PickleValue {
  /// The items of a dict.
  fileprivate var items: [Item]? {
    switch self {
    case .dictionary(let items), .orderedDictionary(let items): items
    default: nil
    }
  }

  /// The elements of a list or tuple.
  fileprivate var elements: [PickleValue]? {
    switch self {
    case .list(let elements), .tuple(let elements): elements
    default: nil
    }
  }
}
