/// The header of a safetensors file: each tensor's type, shape and place.
///
/// Format: https://github.com/huggingface/safetensors#format. Eight bytes, little-endian, with the header's length; the
/// header, a JSON object that begins with `{` and may end with spaces; the tensors' bytes, without a hole.
struct SafetensorsHeader {
  /// A tensor and the range of its bytes, counted from the header's end.
  struct Entry {
    let key: String
    let dtype: DataType
    let shape: [Int]
    let range: Range<Int>
  }

  /// The most bytes a header may have, when read and when written.
  static let limit = 100_000_000

  /// The tensors in the header's order.
  var entries: [Entry] = []
  var metadata: [String: String] = [:]
  /// Where the tensors' bytes begin in the file.
  var dataOffset = 0

  static let names: [DataType: String] = [
    .float64: "F64", .float32: "F32", .float16: "F16", .bfloat16: "BF16", .int64: "I64", .int32: "I32", .int16: "I16",
    .int8: "I8", .uint64: "U64", .uint32: "U32", .uint16: "U16", .uint8: "U8", .bool: "BOOL",
  ]
  private static let types = Dictionary(uniqueKeysWithValues: names.map { ($0.value, $0.key) })
}

extension SafetensorsHeader {
  /// Reads and checks the header: keys once, sizes as types and shapes say, every byte of the file in one tensor.
  init(_ file: InputFile) throws(StateError) {
    var prefix = ByteCursor(try file.bytes(in: 0..<8), of: "the file", path: file.path)
    let claimed = try prefix.integer(UInt64.self)
    guard claimed <= UInt64(Self.limit) else {
      throw StateError(
        .refused, "the header claims \(claimed) bytes; \(Self.limit) is the format's limit", path: file.path)
    }
    let length = Int(claimed)
    guard length <= file.size - 8 else {
      throw StateError(
        .truncated, "the header has \(length) bytes but the file only \(file.size): copy or download it again",
        path: file.path)
    }
    dataOffset = 8 + length
    let json = try file.bytes(in: 8..<dataOffset)
    guard json.first == UInt8(ascii: "{") else {
      throw StateError(.corrupt, "the header does not begin with {", path: file.path)
    }
    try parse(json, file.path)
    try checkTiling(of: file.size - dataOffset, file.path)
  }

  private mutating func parse(_ json: [UInt8], _ path: String) throws(StateError) {
    var scanner = JSONScanner(json, path: path)
    var keys: Set<String> = []
    var header = self
    try scanner.object { (scanner, key) throws(StateError) in
      guard keys.insert(key).inserted else {
        throw StateError(.corrupt, "the header holds \"\(key)\" twice", key: key, path: path)
      }
      if key == "__metadata__" {
        try scanner.object { (scanner, name) throws(StateError) in
          guard header.metadata.updateValue(try scanner.string(), forKey: name) == nil else {
            throw StateError(.corrupt, "the metadata hold \"\(name)\" twice", path: path)
          }
        }
      } else {
        header.entries.append(try Self.entry(key, &scanner, path))
      }
    }
    try scanner.finish()
    self = header
  }

  private static func entry(
    _ key: String, _ scanner: inout JSONScanner, _ path: String
  ) throws(StateError) -> Entry {
    var (type, shape, offsets): (String?, [Int]?, [Int]?)
    try scanner.object { (scanner, field) throws(StateError) in
      switch field {
      case "dtype" where type == nil: type = try scanner.string()
      case "shape" where shape == nil: shape = try scanner.sizes()
      case "data_offsets" where offsets == nil: offsets = try scanner.sizes()
      default:
        throw StateError(
          .corrupt, "\"\(key)\" has \"\(field)\" twice, or it does not belong there", key: key, path: path)
      }
    }
    guard let type, let shape, let offsets, offsets.count == 2, offsets[0] <= offsets[1] else {
      throw StateError(.corrupt, "\"\(key)\" lacks a type, a shape or two offsets in order", key: key, path: path)
    }
    guard let dtype = types[type] else {
      throw StateError(
        .unsupported, "\"\(key)\" has the type \(type), which is not read here: cast it before saving", key: key,
        path: path)
    }
    guard let byteCount = dtype.byteCount(ofShape: shape), byteCount == offsets[1] - offsets[0] else {
      throw StateError(
        .corrupt, "\"\(key)\" of \(type) and shape \(shape) does not take the \(offsets[1] - offsets[0]) bytes it has",
        key: key, path: path)
    }
    return Entry(key: key, dtype: dtype, shape: shape, range: offsets[0]..<offsets[1])
  }

  /// Throws unless the tensors follow each other from 0 to the end: no hole, no byte in two tensors.
  private func checkTiling(of size: Int, _ path: String) throws(StateError) {
    var end = 0
    for entry in entries.sorted(by: {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }) {
      guard entry.range.lowerBound == end else {
        throw StateError(
          .corrupt,
          "\"\(entry.key)\" begins at \(entry.range.lowerBound), where \(end) is expected: tensors overlap or "
            + "bytes belong to none", key: entry.key, path: path)
      }
      end = entry.range.upperBound
    }
    if end > size {
      throw StateError(
        .truncated, "the file lacks the last \(end - size) bytes of its tensors: copy or download it again", path: path)
    }
    if end < size { throw StateError(.corrupt, "the last \(size - end) bytes belong to no tensor", path: path) }
  }
}

extension SafetensorsHeader {
  /// The header for `stateDict`: keys in its order, bytes by size of element so that every tensor lies aligned.
  init(for stateDict: StateDict, path: String) throws(StateError) {
    metadata = stateDict.metadata
    let tensors = Array(stateDict)
    var ranges = [Range<Int>](repeating: 0..<0, count: tensors.count)
    var end = 0
    for size in [8, 4, 2, 1] {
      for (index, entry) in tensors.enumerated() where entry.value.dtype.byteCount == size {
        ranges[index] = end..<end + entry.value.byteCount
        end += entry.value.byteCount
      }
    }
    for (entry, range) in zip(tensors, ranges) {
      if entry.key == "__metadata__" {
        throw StateError(.invalidKey, "safetensors keeps the key __metadata__ for itself", key: entry.key, path: path)
      }
      entries.append(Entry(key: entry.key, dtype: entry.value.dtype, shape: entry.value.shape, range: range))
    }
  }

  /// The file's first bytes: length and JSON, padded so that the tensors begin at a multiple of 8.
  func encoded(path: String) throws(StateError) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(Self.quoted($0.key)):\(Self.quoted($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    for entry in entries {
      let shape = entry.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(Self.quoted(entry.key)):{\"dtype\":\"\(Self.names[entry.dtype] ?? "")\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(entry.range.lowerBound),\(entry.range.upperBound)]}")
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    json += [UInt8](repeating: UInt8(ascii: " "), count: -json.count & 7)
    guard json.count <= Self.limit else {
      throw StateError(
        .unsupported, "the header would have \(json.count) bytes; safetensors allows \(Self.limit)", path: path)
    }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }

  private static func quoted(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
      return "\"\(text)\""
    }
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
