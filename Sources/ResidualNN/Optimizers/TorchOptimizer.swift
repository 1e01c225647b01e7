import ResidualState

/// What `torch.optim` calls things: the fields and hyperparameters of each kind of optimizer.
struct TorchOptimizer {
  /// `sgd`, `adam` or `adamw`.
  let kind: String

  init(kind: String) throws(StateError) {
    guard ["sgd", "adam", "adamw"].contains(kind) else {
      throw StateError(.unsupported, "the optimizer \(kind) has no counterpart; there are sgd, adam and adamw")
    }
    self.kind = kind
  }

  /// The kind that a parameter group's hyperparameters show.
  init(of group: PickleValue, expected: String?) throws(StateError) {
    let names = Set(
      (["momentum", "dampening", "nesterov", "betas", "amsgrad"] as [String]).filter { group[$0] != nil })
    let found: String
    if names == ["momentum", "dampening", "nesterov"] {
      found = "sgd"
    } else if names == ["betas", "amsgrad"] {
      switch group["decoupled_weight_decay"] {
      case .bool(true)?: found = "adamw"
      case .bool(false)?: found = "adam"
      default:
        // Without weight decay the two are the same.
        guard let said = expected ?? (group["weight_decay"]?.number == 0 ? "adam" : nil) else {
          throw StateError(
            .invalidOptions, "the file is of a PyTorch that does not tell Adam from AdamW: say which, adam or adamw")
        }
        found = said
      }
    } else {
      throw StateError(.unsupported, "the file is of an optimizer that is none of torch.optim's SGD, Adam and AdamW")
    }
    if let expected, expected != found {
      throw StateError(.invalidOptions, "the file's optimizer is \(found), not \(expected)")
    }
    try self.init(kind: found)
  }

  /// What it remembers of each parameter.
  var fields: [String] { kind == "sgd" ? ["momentum_buffer"] : ["step", "exp_avg", "exp_avg_sq"] }

  /// A parameter group's hyperparameters, as PyTorch orders them.
  func group(_ hyperparameters: [String: Double]) -> [PickleValue.Item] {
    let value = { (name: String) in PickleValue.float(hyperparameters[name] ?? 0) }
    if kind == "sgd" {
      return [
        .init("lr", value("lr")), .init("momentum", value("momentum")), .init("dampening", value("dampening")),
        .init("weight_decay", value("weight_decay")), .init("nesterov", .bool(hyperparameters["nesterov"] == 1)),
        .init("maximize", .bool(false)), .init("foreach", .none), .init("differentiable", .bool(false)),
        .init("fused", .none),
      ]
    }
    return [
      .init("lr", value("lr")), .init("betas", .tuple([value("beta1"), value("beta2")])), .init("eps", value("eps")),
      .init("weight_decay", value("weight_decay")), .init("amsgrad", .bool(false)), .init("maximize", .bool(false)),
      .init("foreach", .none), .init("capturable", .bool(false)), .init("differentiable", .bool(false)),
      .init("fused", .none), .init("decoupled_weight_decay", .bool(kind == "adamw")),
    ]
  }

  /// A parameter group's hyperparameters under our names.
  func hyperparameters(of group: PickleValue) throws(StateError) -> [String: Double] {
    for name in ["amsgrad", "maximize"] where group[name] == .bool(true) {
      throw StateError(.unsupported, "PyTorch's optimizer ran with \(name)=True, which is not supported", key: name)
    }
    func number(_ value: PickleValue?, _ name: String) throws(StateError) -> Double {
      guard let number = value?.number else {
        throw StateError(.corrupt, "the parameter group has no number for \(name)", key: name)
      }
      return number
    }
    var result: [String: Double] = [:]
    let plain =
      kind == "sgd" ? ["lr", "momentum", "dampening", "weight_decay", "nesterov"] : ["lr", "eps", "weight_decay"]
    for name in plain { result[name] = try number(group[name], name) }
    if kind != "sgd" {
      guard case .tuple(let betas)? = group["betas"], betas.count == 2 else {
        throw StateError(.corrupt, "the parameter group has no two betas", key: "betas")
      }
      result["beta1"] = try number(betas[0], "betas")
      result["beta2"] = try number(betas[1], "betas")
    }
    return result
  }

  /// One thing it remembers of a parameter, in our type; nil for a momentum that has not begun.
  func tensor(of item: PickleValue.Item, name: String) throws(StateError) -> (field: String, data: TensorData)? {
    guard case .string(let field) = item.key, fields.contains(field) else {
      throw StateError(
        .unsupported, "PyTorch's optimizer remembers more of \(name) than \(fields.joined(separator: ", "))", key: name)
    }
    if field == "step" {
      guard let steps = item.value.number.flatMap({ Int64(exactly: $0) }), steps >= 0 else {
        throw StateError(.corrupt, "the steps of \(name) are no whole number", key: "\(name).step")
      }
      return (field, TensorData([steps], shape: []))
    }
    switch item.value {
    case .none where field == "momentum_buffer": return nil
    case .tensor(let tensor) where tensor.dtype == .float32: return (field, tensor)
    case .tensor(let tensor):
      throw StateError(
        .dtypeMismatch, "\(field) of \(name) is \(tensor.dtype.rawValue), not float32", key: "\(name).\(field)")
    default: throw StateError(.corrupt, "\(field) of \(name) is no tensor", key: "\(name).\(field)")
    }
  }
}

extension PickleValue {
  /// A number, however PyTorch keeps it.
  fileprivate var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .float(let value): value
    case .bool(let value): value ? 1 : 0
    case .tensor(let tensor) where tensor.count == 1: tensor.scalars(as: Double.self)[0]
    default: nil
    }
  }
}

extension PickleValue.Item {
  /// An item whose key is a text.
  init(_ key: String, _ value: PickleValue) { self.init(key: .string(key), value: value) }
}
