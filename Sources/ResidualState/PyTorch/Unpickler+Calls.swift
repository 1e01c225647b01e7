extension Unpickler {
  /// What calling a name of Python makes: the few calls that files of weights need, done here.
  mutating func call(
    _ callable: PickleGraph.Reference, _ arguments: PickleGraph.Reference
  ) throws(StateError) -> PickleGraph.Reference {
    guard case .global(let global) = graph[callable], case .tuple(let arguments) = graph[arguments] else {
      throw error(.corrupt, "calls what is no function")
    }
    switch global {
    case .orderedDict: return try make(.dictionary(try pairs(arguments), isOrdered: true))
    case .counter:
      guard let first = arguments.first else { return try make(.dictionary([], isOrdered: false)) }
      guard arguments.count == 1, case .dictionary = graph[first] else { throw badArguments("Counter") }
      return first
    case .rebuildTensor(let version): return try make(.tensor(try tensor(arguments, version)))
    case .rebuildParameter:
      guard let data = arguments.first, case .tensor = graph[data] else { throw badArguments("_rebuild_parameter") }
      return data
    case .rebuildFromType:
      guard arguments.count == 4, case .global(.tensorType) = graph[arguments[1]],
        case .global(.rebuildTensor) = graph[arguments[0]]
      else { throw badArguments("_rebuild_from_type_v2") }
      return try call(arguments[0], arguments[2])
    case .size:
      guard arguments.count == 1, sizes(arguments[0]) != nil else { throw badArguments("torch.Size") }
      return arguments[0]
    case .device: return try make(.string(try device(arguments)))
    case .numpyScalar: return try make(try numpyScalar(arguments))
    case .numpyType:
      guard let first = arguments.first, case .string(let code) = graph[first] else {
        throw badArguments("numpy.dtype")
      }
      return try make(.numpyType(code))
    case .encode:
      guard arguments.count == 2, case .string(let text) = graph[arguments[0]],
        case .string("latin1") = graph[arguments[1]],
        text.utf8.count <= 64, text.unicodeScalars.allSatisfy({ $0.value < 256 })
      else { throw badArguments("_codecs.encode") }
      return try make(.bytes(text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }))
    case .storageType, .dataType, .tensorType: throw error(.corrupt, "calls what is no function")
    }
  }

  /// What setting an object's attributes does: nothing that a file of weights needs, but NumPy's byte order is checked.
  ///
  /// State dicts carry `_metadata`, the versions of PyTorch's modules, in this way.
  func build(_ object: PickleGraph.Reference, _ state: PickleGraph.Reference) throws(StateError) {
    switch graph[object] {
    case .dictionary, .tensor: return
    case .numpyType:
      guard case .tuple(let state) = graph[state], state.count > 1, case .string(let order) = graph[state[1]],
        ["<", "|", "="].contains(order)
      else { throw error(.unsupported, "holds a NumPy number that is not little-endian") }
    default: throw error(.corrupt, "sets attributes of a \(graph[object].kind)")
    }
  }

  /// The storage a persistent ID stands for: `("storage", type, key, location, elements)` and, in the legacy format,
  /// None or the key, offset and size of a view.
  mutating func storage(_ reference: PickleGraph.Reference) throws(StateError) -> PickleGraph.Reference {
    guard case .tuple(let items) = graph[reference], items.count == 5 || items.count == 6,
      case .string("storage") = graph[items[0]], case .global(.storageType(let dtype)) = graph[items[1]],
      case .string(let root) = graph[items[2]], case .int(let claimed) = graph[items[4]],
      let rootCount = Int(exactly: claimed)
    else { throw error(.corrupt, "names a storage in an unknown way") }
    var (offset, count) = (0, rootCount)
    if items.count == 6, case .tuple(let view) = graph[items[5]] {
      guard view.count == 3, case .int(let start) = graph[view[1]], case .int(let size) = graph[view[2]] else {
        throw error(.corrupt, "names a view of a storage in an unknown way")
      }
      (offset, count) = (Int(start), Int(size))
    }
    let size = dtype?.byteCount ?? 1
    let (rootByteCount, overflow) = rootCount.multipliedReportingOverflow(by: size)
    guard !overflow, rootCount >= 0, offset >= 0, count >= 0, offset <= rootCount, count <= rootCount - offset else {
      throw error(.corrupt, "claims \(claimed) elements for the storage \"\(root)\"")
    }
    if let known = storageSizes.updateValue(rootByteCount, forKey: root), known != rootByteCount {
      throw error(.corrupt, "claims two sizes for the storage \"\(root)\"")
    }
    graph.storages.append(
      .init(key: root, dtype: dtype, byteCount: count * size, byteOffset: offset * size, rootByteCount: rootByteCount))
    return try make(.storage(graph.storages.count - 1))
  }

  /// A tensor of `(storage, offset, shape, strides[, requires_grad, hooks[, dtype]])`; returns its index.
  private mutating func tensor(_ arguments: [PickleGraph.Reference], _ version: Int) throws(StateError) -> Int {
    let needed = [1: 4, 2: 6, 3: 7][version] ?? 0
    guard arguments.count >= needed, case .storage(let index) = graph[arguments[0]],
      case .int(let claimed) = graph[arguments[1]], let offset = Int(exactly: claimed),
      let shape = sizes(arguments[2]), let strides = sizes(arguments[3]), shape.count == strides.count
    else { throw badArguments("_rebuild_tensor") }
    let storage = graph.storages[index]
    var type = storage.dtype
    if version == 3, case .global(.dataType(let dtype)) = graph[arguments[6]] { type = dtype }
    guard let type else { throw badArguments("_rebuild_tensor") }
    // The stride of an axis with one position is never taken and may be anything.
    let tensor = PickleGraph.Tensor(
      storage: index, dtype: type, offset: offset, shape: shape,
      strides: zip(shape, strides).map { $0 == 1 ? 0 : $1 })
    guard let end = tensor.end, offset >= 0, end <= storage.byteCount / type.byteCount else {
      throw error(
        .corrupt,
        "describes a tensor of shape \(shape), strides \(strides) and offset \(offset) that does not lie in "
          + "its storage of \(storage.byteCount) bytes")
    }
    graph.tensors.append(tensor)
    return graph.tensors.count - 1
  }

  /// The numbers of a tuple as sizes, one for each of at most 64 axes, PyTorch's own limit.
  private func sizes(_ reference: PickleGraph.Reference) -> [Int]? {
    guard case .tuple(let items) = graph[reference], items.count <= 64 else { return nil }
    var sizes: [Int] = []
    for item in items {
      guard case .int(let size) = graph[item], size >= 0 else { return nil }
      sizes.append(Int(size))
    }
    return sizes
  }

  /// The keys and values of `OrderedDict(pairs)`; none without an argument.
  private mutating func pairs(_ arguments: [PickleGraph.Reference]) throws(StateError) -> [PickleGraph.Reference] {
    guard let first = arguments.first else { return [] }
    guard arguments.count == 1, case .list(let pairs) = graph[first] else { throw badArguments("OrderedDict") }
    copiedPairs += pairs.count
    if copiedPairs > cursor.bytes.count { throw error(.refused, "copies the same list again and again") }
    var items: [PickleGraph.Reference] = []
    for pair in pairs {
      switch graph[pair] {
      case .list(let pair) where pair.count == 2, .tuple(let pair) where pair.count == 2: items += pair
      default: throw badArguments("OrderedDict")
      }
    }
    return items
  }

  private func device(_ arguments: [PickleGraph.Reference]) throws(StateError) -> String {
    guard let first = arguments.first, case .string(let type) = graph[first] else { throw badArguments("torch.device") }
    guard arguments.count > 1, case .int(let index) = graph[arguments[1]] else { return type }
    return "\(type):\(index)"
  }

  /// A NumPy number such as the best accuracy of a training script: `(type, bytes)`.
  private func numpyScalar(_ arguments: [PickleGraph.Reference]) throws(StateError) -> PickleGraph.Node {
    guard arguments.count == 2, case .numpyType(let code) = graph[arguments[0]],
      case .bytes(let bytes) = graph[arguments[1]]
    else { throw badArguments("numpy scalar") }
    let bits = bytes.prefix(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    switch (code, bytes.count) {
    case ("f8", 8): return .float(Double(bitPattern: bits))
    case ("f4", 4): return .float(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
    case ("i8", 8): return .int(Int64(bitPattern: bits))
    case ("i4", 4): return .int(Int64(Int32(truncatingIfNeeded: bits)))
    case ("b1", 1): return .bool(bits != 0)
    default:
      throw error(.unsupported, "holds a NumPy number of type \(code): save it as a plain Python number, float(x)")
    }
  }

  private func badArguments(_ name: String) -> StateError {
    error(.corrupt, "gives \(name) arguments it does not take")
  }
}

extension PickleGraph.Tensor {
  /// The number of elements of its storage up to the last it shows, nil where that overflows; 0 where it is empty.
  var end: Int? {
    guard dtype.byteCount(ofShape: shape) != nil else { return nil }
    if shape.contains(0) { return 0 }
    var last = offset
    for (size, stride) in zip(shape, strides) {
      let (step, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, carry) = last.addingReportingOverflow(step)
      if overflow || carry { return nil }
      last = sum
    }
    return last == Int.max ? nil : last + 1
  }

  /// Whether its elements lie in its storage one after the other, row-major.
  var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }
}
