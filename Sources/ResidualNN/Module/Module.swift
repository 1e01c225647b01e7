import ResidualTensor

/// Owns parameters, buffers and child modules.
///
/// PyTorch: `torch.nn.Module`.
///
/// Subclass it, declare state with `@Registered` and children with `@Child`, and write the forward computation as
/// `callAsFunction`; the backward computation is recorded. A module is not Sendable: it belongs to one thread or actor
/// at a time, and `stateDict()` gives a Sendable snapshot.
open class Module {
  /// Whether the module behaves as in training (batch statistics, dropout).
  ///
  /// Set by `train()` and `eval()`.
  public private(set) var isTraining = true
  /// The key path from the outermost module that was last walked, for messages; empty before.
  public private(set) var path = ""

  /// A module without state of its own.
  public init() {}

  /// The module's own arguments as `print` shows them: `64, 128, kernelSize: 3`.
  open var argumentDescription: String { "" }

  /// The modules directly inside, in declaration order.
  open var children: [(key: String, module: Module)] {
    var result: [(key: String, module: Module)] = []
    forEachDeclaration { name, declaration in
      declaration.visit(name: name, state: { _, _ in }, child: { result.append(($0, $1)) })
    }
    return result
  }

  /// Called by `freeze` and `unfreeze` for this module alone, after its parameters: a layer with running statistics
  /// stops or resumes updating them.
  open func didChangeFreezing(_ isFrozen: Bool) {}

  /// The module's own parameters, buffers and counters, in declaration order.
  var entries: [(key: String, entry: StateEntry)] {
    var result: [(key: String, entry: StateEntry)] = []
    forEachDeclaration { name, declaration in
      declaration.visit(name: name, state: { result.append(($0, $1)) }, child: { _, _ in })
    }
    return result
  }

  private func forEachDeclaration(_ body: (String, any Declaration) -> Void) {
    var mirrors: [Mirror] = []
    var next: Mirror? = Mirror(reflecting: self)
    while let mirror = next {
      mirrors.append(mirror)
      next = mirror.superclassMirror
    }
    for mirror in mirrors.reversed() {
      for (label, value) in mirror.children {
        guard let declaration = value as? any Declaration, let label else { continue }
        // A wrapped property is stored under its name with an underscore before it.
        body(String(label.dropFirst()), declaration)
      }
    }
  }
}

extension Module {
  /// This module and all modules below it with their key paths, in declaration order.
  ///
  /// PyTorch: `named_modules`.
  public func namedModules() -> [(path: String, module: Module)] {
    var result: [(path: String, module: Module)] = []
    func walk(_ module: Module, _ path: String) {
      if path.count >= module.path.count { module.path = path }
      result.append((path, module))
      for (key, child) in module.children { walk(child, [path, key].joinedKey) }
    }
    walk(self, "")
    return result
  }

  /// Every piece of state below this module with its full key, in PyTorch's order.
  func namedEntries() -> [(key: String, entry: StateEntry)] {
    let entries = namedModules().flatMap { path, module in
      module.entries.map { (key: [path, $0.key].joinedKey, entry: $0.entry) }
    }
    var seen: Set<String> = []
    for (key, _) in entries {
      precondition(seen.insert(key).inserted, "\(type(of: self)): two declarations have the key \"\(key)\"")
    }
    return entries
  }

  /// All parameters with their keys (`layer1.0.conv1.weight`); one that has several is listed under the first.
  ///
  /// PyTorch: `named_parameters`.
  public func namedParameters() -> [(key: String, parameter: Parameter)] {
    var seen: Set<ObjectIdentifier> = []
    return namedEntries().compactMap { key, entry in
      guard case .parameter(let parameter) = entry, seen.insert(ObjectIdentifier(parameter)).inserted else {
        return nil
      }
      return (key, parameter)
    }
  }

  /// All parameters, each once, for an optimizer.
  ///
  /// PyTorch: `parameters`.
  public func parameters() -> [Parameter] { namedParameters().map(\.parameter) }

  /// All buffers with their keys, persistent or not.
  ///
  /// PyTorch: `named_buffers`.
  public func namedBuffers() -> [(key: String, buffer: Buffer)] {
    namedEntries().compactMap { key, entry in
      guard case .buffer(let buffer) = entry else { return nil }
      return (key, buffer)
    }
  }

  /// Switches this module and all below to training behaviour.
  ///
  /// Frozen batch norms keep their statistics.
  public func train() { setTraining(true) }

  /// Switches this module and all below to evaluation behaviour: running statistics, no dropout.
  public func eval() { setTraining(false) }

  /// Runs `body` in evaluation mode, then gives each module below the mode it had.
  public func evaluating<Result>(_ body: () throws -> Result) rethrows -> Result {
    let modes = namedModules().map { ($0.module, $0.module.isTraining) }
    defer { for (module, isTraining) in modes { module.isTraining = isTraining } }
    eval()
    return try body()
  }

  private func setTraining(_ isTraining: Bool) {
    for (_, module) in namedModules() { module.isTraining = isTraining }
  }

  /// Forgets all gradients.
  ///
  /// PyTorch: `zero_grad`.
  public func zeroGradients() {
    for parameter in parameters() { parameter.zeroGrad() }
  }

  /// The type's name, with the key path where it is known: for messages.
  public var location: String {
    path.isEmpty ? "\(type(of: self))" : "\(path) (\(type(of: self)))"
  }
}

/// A module from one tensor to one tensor: what `Sequential` chains and a training loop feeds.
public protocol Layer: Module {
  /// The forward computation.
  func callAsFunction(_ x: Tensor) -> Tensor
}
