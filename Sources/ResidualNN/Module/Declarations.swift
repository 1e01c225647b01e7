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
/// (PyTorch: `ModuleList`) are numbered from 0.
@propertyWrapper
public struct Child<Value> {
  /// The module, the optional module or the array of modules.
  public var wrappedValue: Value
  let key: String?

  /// Declares a child under the property's own name or under `key`.
  public init(wrappedValue: Value, _ key: String? = nil) where Value: OptionalModule {
    self.wrappedValue = wrappedValue
    self.key = key
  }

  /// Declares an array of modules of one type: `blocks.0`, `blocks.1` and so on.
  public init<Element: Module>(wrappedValue: Value, _ key: String? = nil) where Value == [Element] {
    self.wrappedValue = wrappedValue
    self.key = key
  }

  /// Declares an array of any layers: `layers.0`, `layers.1` and so on.
  public init(wrappedValue: Value, _ key: String? = nil) where Value == [any Layer] {
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

/// What can be declared with `@Child` besides an array: a module, there or not.
public protocol OptionalModule {
  /// The module, if there is one.
  var module: Module? { get }
}

extension Module: OptionalModule {
  /// The module itself.
  public var module: Module? { self }
}

extension Optional: OptionalModule where Wrapped: OptionalModule {
  /// The module, if there is one.
  public var module: Module? { self?.module }
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
    let key = key ?? name
    if let array = wrappedValue as? [Module] {
      for (index, module) in array.enumerated() { child("\(key).\(index)", module) }
    } else if let module = (wrappedValue as? any OptionalModule)?.module {
      child(key, module)
    }
  }
}

extension [String] {
  /// The parts that are not empty, with dots between: `layer1.0.conv1`.
  var joinedKey: String { filter { !$0.isEmpty }.joined(separator: ".") }
}
