/// Declares a parameter, a buffer or a counter of a module: `@Registered var weight: Parameter`.
///
/// Nothing that is not declared is ever saved, counted or optimized. The key is the property's name unless another is
/// given (`@Registered("running_mean") var runningMean: Buffer`).
@propertyWrapper
public struct Registered<Value: ModuleState> {
  /// The state.
  public var wrappedValue: Value
  let key: String?

  /// Declares state under the property's own name or under `key`.
  public init(wrappedValue: Value, _ key: String? = nil) {
    self.wrappedValue = wrappedValue
    self.key = key
  }
}

/// Declares a module inside a module: `@Child var conv1 = Conv2d(1, 64, kernelSize: 7)`.
///
/// The key is the property's name unless another is given. Optional modules may be absent; the elements of an array
/// are numbered from 0.
@propertyWrapper
public struct Child<Value: ModuleTree> {
  /// The module, the optional module or the array of modules.
  public var wrappedValue: Value
  let key: String?

  /// Declares a child under the property's own name or under `key`.
  public init(wrappedValue: Value, _ key: String? = nil) {
    self.wrappedValue = wrappedValue
    self.key = key
  }
}

/// What can be declared with `@Registered`: `Parameter`, `Buffer` and `Counter`, optional or not.
public protocol ModuleState {
  /// The object itself; nil when an optional is empty.
  var entry: StateEntry? { get }
}

/// One piece of a module's own state.
public enum StateEntry {
  /// A trainable weight.
  case parameter(Parameter)
  /// Floats that are saved but not trained.
  case buffer(Buffer)
  /// A saved whole number.
  case counter(Counter)
}

extension Parameter: ModuleState {
  /// The parameter.
  public var entry: StateEntry? { .parameter(self) }
}

extension Buffer: ModuleState {
  /// The buffer.
  public var entry: StateEntry? { .buffer(self) }
}

extension Counter: ModuleState {
  /// The counter.
  public var entry: StateEntry? { .counter(self) }
}

extension Optional: ModuleState where Wrapped: ModuleState {
  /// The state, if there is any.
  public var entry: StateEntry? { self?.entry }
}

/// What can be declared with `@Child`: a module, an optional module or an array of modules.
public protocol ModuleTree {
  /// The modules with what their keys add to the declared one: nothing for a single module, a number in an array.
  var modules: [(suffix: String?, module: Module)] { get }
}

extension Module: ModuleTree {
  /// The module itself.
  public var modules: [(suffix: String?, module: Module)] { [(nil, self)] }
}

extension Optional: ModuleTree where Wrapped: ModuleTree {
  /// The module, if there is one.
  public var modules: [(suffix: String?, module: Module)] { self?.modules ?? [] }
}

extension Array: ModuleTree where Element == any Layer {
  /// The modules, numbered from 0.
  public var modules: [(suffix: String?, module: Module)] { enumerated().map { ("\($0)", $1) } }
}

/// How a module finds its own declarations by reflection: the wrappers above and nothing else.
protocol Declaration {
  func visit(name: String, state: (String, StateEntry) -> Void, child: (String, Module) -> Void)
}

extension Registered: Declaration {
  func visit(name: String, state: (String, StateEntry) -> Void, child: (String, Module) -> Void) {
    if let entry = wrappedValue.entry { state(key ?? name, entry) }
  }
}

extension Child: Declaration {
  func visit(name: String, state: (String, StateEntry) -> Void, child: (String, Module) -> Void) {
    for (suffix, module) in wrappedValue.modules { child([key ?? name, suffix ?? ""].joinedKey, module) }
  }
}

extension [String] {
  /// The parts that are not empty, with dots between: `layer1.0.conv1`.
  var joinedKey: String { filter { !$0.isEmpty }.joined(separator: ".") }
}
