import OrderedCollections

/// Named tensors in order: what `state_dict()` is in PyTorch, as a value.
///
/// Keys and shapes are PyTorch's (`layer1.0.conv1.weight`, OIHW). Iteration is in the order the keys were first set.
public struct StateDict: Sendable, Equatable {
  /// Words about the file or the network, kept beside the tensors by the formats that can.
  public var metadata: [String: String] = [:]
  private var tensors: OrderedDictionary<String, TensorData> = [:]

  /// Makes an empty state dict.
  public init() {}

  /// Makes a state dict of pairs; a key given twice is a programmer's mistake.
  public init(uniqueKeysWithValues pairs: some Sequence<(String, TensorData)>) {
    tensors = OrderedDictionary(uniqueKeysWithValues: pairs)
  }

  /// The tensor of that name; setting nil removes it.
  public subscript(key: String) -> TensorData? {
    get { tensors[key] }
    set { tensors[key] = newValue }
  }

  /// The keys in order.
  public var keys: [String] { Array(tensors.keys) }

  /// The number of entries.
  public var count: Int { tensors.count }

  /// Whether there are no entries.
  public var isEmpty: Bool { tensors.isEmpty }

  /// The bytes of all tensors.
  public var byteCount: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

  /// The number of trainable numbers, as `sum(p.numel() for p in model.parameters())` counts them.
  ///
  /// Files do not say what is a parameter and what a buffer: batch norm's buffers are told by their names.
  public var parameterCount: Int {
    tensors.reduce(0) { total, entry in
      let name = entry.key.split(separator: ".").last ?? ""
      return Self.bufferNames.contains(String(name)) ? total : total + entry.value.count
    }
  }

  private static let bufferNames: Set<String> = ["running_mean", "running_var", "num_batches_tracked"]
}

extension StateDict: Sequence {
  /// Walks the entries in order.
  public func makeIterator() -> some IteratorProtocol<(key: String, value: TensorData)> {
    tensors.makeIterator()
  }
}

extension StateDict: ExpressibleByDictionaryLiteral {
  /// Makes a state dict of a literal; a key given twice is a programmer's mistake.
  public init(dictionaryLiteral elements: (String, TensorData)...) {
    self.init(uniqueKeysWithValues: elements)
  }
}

extension StateDict {
  /// The same tensors with `prefix` taken off every key that has it.
  ///
  /// - Throws: `StateError` when two keys would become one.
  public func strippingPrefix(_ prefix: String) throws(StateError) -> StateDict {
    var result = StateDict()
    result.metadata = metadata
    for (key, tensor) in self {
      let short = key.hasPrefix(prefix) ? String(key.dropFirst(prefix.count)) : key
      guard result[short] == nil else {
        throw StateError(.invalidOptions, "without \"\(prefix)\" two keys would be \"\(short)\"", key: key)
      }
      result[short] = tensor
    }
    return result
  }
}
