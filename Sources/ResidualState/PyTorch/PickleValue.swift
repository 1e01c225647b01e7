/// A value that `torch.save` wrote or `torch.load` is to read: a tree of Python's plain values and tensors.
///
/// A whole checkpoint, such as `{"model": ..., "optimizer": ..., "epoch": 3}`, is one such value.
public enum PickleValue: Sendable, Equatable {
  /// Python's `None`.
  case none
  /// A truth value.
  case bool(Bool)
  /// A whole number that fits 64 bits.
  case int(Int64)
  /// A larger whole number: two's complement, little-endian.
  case largeInt([UInt8])
  /// A floating-point number.
  case float(Double)
  /// A text. Devices and types are read as their names (`cuda:0`, `torch.float32`).
  case string(String)
  /// Bytes.
  case bytes([UInt8])
  /// A tuple; `torch.Size` is one.
  case tuple([PickleValue])
  /// A list.
  case list([PickleValue])
  /// A dict, its items in order.
  case dictionary([Item])
  /// An `OrderedDict`, as state dicts are.
  case orderedDictionary([Item])
  /// A tensor.
  case tensor(TensorData)

  /// A key and its value.
  public struct Item: Sendable, Equatable {
    /// The key: a string or, in optimizers' states, a whole number.
    public var key: PickleValue
    /// The value.
    public var value: PickleValue

    /// Makes an item.
    public init(key: PickleValue, value: PickleValue) {
      self.key = key
      self.value = value
    }
  }
}

extension PickleValue {
  /// The value of a dict's key that is a string; nil where there is none or this is no dict.
  public subscript(key: String) -> PickleValue? { self[.string(key)] }

  /// The value of a dict's key; nil where there is none or this is no dict.
  public subscript(key: PickleValue) -> PickleValue? {
    switch self {
    case .dictionary(let items), .orderedDictionary(let items): items.first { $0.key == key }?.value
    default: nil
    }
  }
}

extension PickleValue {
  /// An `OrderedDict` of a state dict's tensors; the metadata have no place in it.
  public init(_ stateDict: StateDict) {
    self = .orderedDictionary(stateDict.map { Item(key: .string($0.key), value: .tensor($0.value)) })
  }
}
