/// Writes a value as a pickle of protocol 2 that PyTorch's restricted `torch.load(weights_only=True)` reads.
struct Pickler {
  /// The tensors met on the way; a tensor's place here is the key of its storage.
  private(set) var tensors: [TensorData] = []
  private(set) var bytes: [UInt8] = [PickleOpcode.proto.rawValue, 2]

  /// The pickle of `value`.
  init(_ value: PickleValue, path: String) throws(StateError) {
    try write(value, depth: 0, path: path)
    emit(.stop)
  }

  private mutating func write(_ value: PickleValue, depth: Int, path: String) throws(StateError) {
    if depth > PickleTree.depthLimit {
      throw StateError(
        .unsupported, "values nested more than \(PickleTree.depthLimit) deep are not written", path: path)
    }
    switch value {
    case .none: emit(.none)
    case .bool(let value): emit(value ? .newTrue : .newFalse)
    case .int(let value): write(value)
    case .largeInt(let bytes):
      emit(.long4)
      append(UInt32(bytes.count))
      self.bytes += bytes
    case .float(let value):
      emit(.binFloat)
      append(value.bitPattern.bigEndian)
    case .string(let text): write(text)
    case .bytes(let bytes): write(bytes)
    case .tuple(let items):
      emit(.mark)
      for item in items { try write(item, depth: depth + 1, path: path) }
      emit(.tuple)
    case .list(let items):
      emit(.emptyList)
      emit(.mark)
      for item in items { try write(item, depth: depth + 1, path: path) }
      emit(.appends)
    case .dictionary(let items):
      emit(.emptyDictionary)
      try write(items, depth, path)
    case .orderedDictionary(let items):
      writeEmptyOrderedDict()
      try write(items, depth, path)
    case .tensor(let tensor): write(tensor)
    }
  }

  private mutating func write(_ items: [PickleValue.Item], _ depth: Int, _ path: String) throws(StateError) {
    emit(.mark)
    for item in items {
      try write(item.key, depth: depth + 1, path: path)
      try write(item.value, depth: depth + 1, path: path)
    }
    emit(.setItems)
  }

  private mutating func write(_ value: Int64) {
    if let small = UInt8(exactly: value) {
      emit(.binInt1)
      bytes.append(small)
    } else if let medium = Int32(exactly: value) {
      emit(.binInt)
      append(medium)
    } else {
      emit(.long1)
      bytes.append(8)
      append(value)
    }
  }

  private mutating func write(_ text: String) {
    emit(.binUnicode)
    append(UInt32(text.utf8.count))
    bytes += Array(text.utf8)
  }

  /// Protocol 2 has no opcode for bytes: they are text of the same code points, encoded in Latin-1.
  private mutating func write(_ bytes: [UInt8]) {
    global("_codecs", "encode")
    write(String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })))
    write("latin1")
    emit(.tuple2)
    emit(.reduce)
  }

  /// `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`; the third version, with the
  /// type behind, where the type has no storage of its own.
  private mutating func write(_ tensor: TensorData) {
    let storageType = Self.storageTypes[tensor.dtype]
    global("torch._utils", storageType == nil ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2")
    emit(.mark)
    emit(.mark)
    write("storage")
    global(storageType == nil ? "torch.storage" : "torch", storageType ?? "UntypedStorage")
    write(String(tensors.count))
    write("cpu")
    write(Int64(storageType == nil ? tensor.byteCount : tensor.count))
    emit(.tuple)
    emit(.binPersistentID)
    write(0 as Int64)
    for sizes in [tensor.shape, Self.strides(of: tensor.shape)] {
      emit(.mark)
      for size in sizes { write(Int64(size)) }
      emit(.tuple)
    }
    emit(.newFalse)
    writeEmptyOrderedDict()
    if storageType == nil { global("torch", tensor.dtype.rawValue) }
    emit(.tuple)
    emit(.reduce)
    tensors.append(tensor)
  }

  /// PyTorch's row-major strides, which count an empty axis as one position.
  private static func strides(of shape: [Int]) -> [Int] {
    var strides: [Int] = []
    var step = 1
    for size in shape.reversed() {
      strides.append(step)
      step *= max(size, 1)
    }
    return strides.reversed()
  }

  private static let storageTypes: [DataType: String] = [
    .float64: "DoubleStorage", .float32: "FloatStorage", .float16: "HalfStorage", .bfloat16: "BFloat16Storage",
    .int64: "LongStorage", .int32: "IntStorage", .int16: "ShortStorage", .int8: "CharStorage", .uint8: "ByteStorage",
    .bool: "BoolStorage",
  ]

  private mutating func writeEmptyOrderedDict() {
    global("collections", "OrderedDict")
    emit(.emptyTuple)
    emit(.reduce)
  }

  private mutating func global(_ module: String, _ name: String) {
    emit(.global)
    bytes += Array("\(module)\n\(name)\n".utf8)
  }

  private mutating func emit(_ opcode: PickleOpcode) { bytes.append(opcode.rawValue) }

  private mutating func append<I: FixedWidthInteger>(_ value: I) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }
}
