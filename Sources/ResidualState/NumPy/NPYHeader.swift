/// The header of a NumPy `.npy` file: its array's type, order and shape.
///
/// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3. The header is a
/// Python dict in words; only the one NumPy writes is read, by a parser that knows nothing else.
struct NPYHeader {
  let dtype: DataType
  let isBigEndian: Bool
  let isFortranOrder: Bool
  let shape: [Int]
  /// Where the array's bytes begin.
  let dataOffset: Int

  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// NumPy's own limit is 10,000 bytes.
  static let limit = 65_536

  /// NumPy's letters for types, as in `<f4`.
  static let codes: [DataType: String] = [
    .float64: "f8", .float32: "f4", .float16: "f2", .int64: "i8", .int32: "i4", .int16: "i2", .int8: "i1",
    .uint64: "u8", .uint32: "u4", .uint16: "u2", .uint8: "u1", .bool: "b1",
  ]
  private static let types = Dictionary(uniqueKeysWithValues: codes.map { ($0.value, $0.key) })

  /// Reads the header at the beginning of `bytes`, of the array `key`.
  init(_ bytes: [UInt8], key: String, path: String) throws(StateError) {
    var cursor = ByteCursor(bytes, of: "the array \"\(key)\"", path: path)
    guard try cursor.take(6).elementsEqual(Self.magic) else {
      throw StateError(.wrongFormat, "\"\(key)\" is no .npy array", key: key, path: path)
    }
    let version = (try cursor.byte(), try cursor.byte())
    guard (1...3).contains(version.0), version.1 == 0 else {
      throw StateError(
        .unsupported, "\"\(key)\" has version \(version.0).\(version.1) of .npy; 1 to 3 are read", key: key, path: path)
    }
    let length = try version.0 == 1 ? cursor.size(UInt16.self) : cursor.size(UInt32.self)
    if length > Self.limit {
      throw StateError(
        .refused, "the header of \"\(key)\" has \(length) bytes; \(Self.limit) are read", key: key, path: path)
    }
    var literal = NPYLiteral(Array(try cursor.take(length)), key: key, path: path)
    let header = try literal.read()
    dataOffset = cursor.position
    shape = header.shape
    isFortranOrder = header.isFortranOrder
    guard let order = header.type.first, "<>|=".contains(order),
      let dtype = Self.types[String(header.type.dropFirst())],
      order != "|" || dtype.byteCount == 1
    else {
      let advice =
        header.type.contains("O")
        ? "it holds Python objects, which are never read: save plain arrays (allow_pickle=False)"
        : "cast it before saving, e.g. with .astype(numpy.float32)"
      throw StateError(
        .unsupported, "\"\(key)\" has the NumPy type \(header.type), which is not read here: \(advice)", key: key,
        path: path)
    }
    self.dtype = dtype
    isBigEndian = order == ">"
  }

  /// How many bytes of an array to read to have its header, from the first 12.
  static func byteCount(_ prefix: [UInt8]) -> Int {
    guard prefix.count == 12 else { return prefix.count }
    let short = Int(prefix[8]) | Int(prefix[9]) << 8
    return prefix[6] == 1 ? 10 + short : 12 + min(limit, short | Int(prefix[10]) << 16 | Int(prefix[11]) << 24)
  }

  /// The header of version 1 for a tensor, padded so that its bytes begin at a multiple of 64.
  static func encoded(_ tensor: TensorData, key: String, path: String) throws(StateError) -> [UInt8] {
    guard let code = codes[tensor.dtype] else {
      throw StateError(
        .unsupported,
        "NumPy has no \(tensor.dtype.rawValue): convert \"\(key)\" to float32 first, or write safetensors, "
          + "HDF5 or .pth", key: key, path: path)
    }
    let order = tensor.dtype.byteCount == 1 ? "|" : "<"
    let sizes = tensor.shape.map { "\($0)," }.joined(separator: " ")
    let shape = tensor.shape.count > 1 ? String(sizes.dropLast()) : sizes
    var text = Array("{'descr': '\(order)\(code)', 'fortran_order': False, 'shape': (\(shape)), }".utf8)
    let prefix = 10
    text += [UInt8](repeating: UInt8(ascii: " "), count: 63 - (prefix + text.count) % 64) + [UInt8(ascii: "\n")]
    return magic + [1, 0] + withUnsafeBytes(of: UInt16(text.count).littleEndian) { Array($0) } + text
  }
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, its members in any order.
private struct NPYLiteral {
  private let text: [UInt8]
  private var position = 0
  private let key: String
  private let path: String

  init(_ text: [UInt8], key: String, path: String) {
    self.text = text
    self.key = key
    self.path = path
  }

  mutating func read() throws(StateError) -> (type: String, isFortranOrder: Bool, shape: [Int]) {
    var (type, order, shape): (String?, Bool?, [Int]?)
    try expect("{")
    while !skip("}") {
      let name = try string()
      try expect(":")
      switch name {
      case "descr" where type == nil: type = try typeName()
      case "fortran_order" where order == nil: order = try truth()
      case "shape" where shape == nil: shape = try sizes()
      default: throw error("\"\(name)\" is there twice, or does not belong there")
      }
      if !skip(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard position == text.count else { throw error("something follows it") }
    guard let type, let order, let shape else { throw error("type, order or shape is missing") }
    return (type, order, shape)
  }

  /// A type in words; the list of fields that a structured type has is not read.
  private mutating func typeName() throws(StateError) -> String {
    skipSpace()
    if position < text.count, text[position] == UInt8(ascii: "[") {
      throw StateError(
        .unsupported, "\"\(key)\" has fields: save each as an array of its own", key: key, path: path)
    }
    return try string()
  }

  private mutating func string() throws(StateError) -> String {
    try expect("'")
    let start = position
    while position < text.count, text[position] != UInt8(ascii: "'") {
      guard (0x20..<0x7F).contains(text[position]), text[position] != UInt8(ascii: "\\") else {
        throw error("a string is no plain text")
      }
      position += 1
    }
    let string = String(decoding: text[start..<position], as: UTF8.self)
    try expect("'")
    return string
  }

  private mutating func truth() throws(StateError) -> Bool {
    if skip("True") { return true }
    try expect("False")
    return false
  }

  private mutating func sizes() throws(StateError) -> [Int] {
    try expect("(")
    var sizes: [Int] = []
    while !skip(")") {
      skipSpace()
      let start = position
      while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) { position += 1 }
      guard let size = Int(String(decoding: text[start..<position], as: UTF8.self)) else {
        throw error("a size is no whole number from 0 on")
      }
      sizes.append(size)
      _ = skip("L")  // Python 2's long
      guard sizes.count <= 64 else { throw error("it has more than 64 axes") }
      if !skip(",") {
        if sizes.count == 1 { throw error("its shape is no tuple") }
        try expect(")")
        break
      }
    }
    return sizes
  }

  private mutating func expect(_ token: String) throws(StateError) {
    guard skip(token) else { throw error("\(token) is expected at its byte \(position)") }
  }

  private mutating func skip(_ token: String) -> Bool {
    skipSpace()
    guard text[position...].starts(with: token.utf8) else { return false }
    position += token.utf8.count
    return true
  }

  private mutating func skipSpace() {
    while position < text.count, [0x20, 0x0A].contains(text[position]) { position += 1 }
  }

  private func error(_ what: String) -> StateError {
    StateError(.corrupt, "the header of the array \"\(key)\" is not NumPy's: \(what)", key: key, path: path)
  }
}
