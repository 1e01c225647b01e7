/// Reads JSON of a known shape, strictly (RFC 8259) and without recursion: the caller says what must come next.
///
/// Unlike a general decoder it shows every member of an object in order, so that a key given twice is seen.
struct JSONScanner {
  private let bytes: [UInt8]
  private var position = 0
  private let path: String

  init(_ bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  /// Reads an object, handing over each key; `member` reads its value.
  mutating func object(
    _ member: (inout JSONScanner, String) throws(StateError) -> Void
  ) throws(StateError) {
    try expect("{")
    if skip("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try member(&self, key)
    } while skip(",")
    try expect("}")
  }

  /// Reads an array of whole numbers from 0 to `Int.max`.
  mutating func sizes() throws(StateError) -> [Int] {
    try expect("[")
    if skip("]") { return [] }
    var sizes: [Int] = []
    repeat { sizes.append(try size()) } while skip(",")
    try expect("]")
    return sizes
  }

  /// Reads a string, escapes resolved.
  mutating func string() throws(StateError) -> String {
    try expect("\"")
    var text: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw error("a string is not UTF-8") }
        return string
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      case 0..<0x20: throw error("a control character stands in a string")
      default: text.append(byte)
      }
    }
    throw error("a string does not end")
  }

  /// Throws unless nothing but spaces is left.
  mutating func finish() throws(StateError) {
    guard bytes[position...].allSatisfy({ $0 == UInt8(ascii: " ") }) else {
      throw error("something follows the JSON object")
    }
  }

  private mutating func size() throws(StateError) -> Int {
    skipWhitespace()
    let start = position
    var value = 0
    while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(bytes[position] - UInt8(ascii: "0")))
      if overflow || carry { throw error("a number is too large") }
      value = sum
      position += 1
    }
    let digits = position - start
    guard digits == 1 || digits > 1 && bytes[start] != UInt8(ascii: "0") else {
      throw error("a whole number is expected")
    }
    return value
  }

  private mutating func escape() throws(StateError) -> Unicode.Scalar {
    guard position < bytes.count else { throw error("a string does not end") }
    position += 1
    switch bytes[position - 1] {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape()
    default: throw error("an escape is unknown")
    }
  }

  /// The rest of `\uXXXX`, with a second one where the first is half of a surrogate pair.
  private mutating func unicodeEscape() throws(StateError) -> Unicode.Scalar {
    var code = try hexadecimal()
    if (0xD800..<0xDC00).contains(code), bytes[position...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) {
      position += 2
      let low = try hexadecimal()
      guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair stands alone") }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair stands alone") }
    return scalar
  }

  private mutating func hexadecimal() throws(StateError) -> UInt32 {
    let digits = bytes[position..<min(position + 4, bytes.count)]
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("an escape is not four hexadecimal digits") }
    position += 4
    return code
  }

  private mutating func expect(_ token: Unicode.Scalar) throws(StateError) {
    guard skip(token) else { throw error("\"\(token)\" is expected") }
  }

  /// Passes over `token` if it comes next.
  private mutating func skip(_ token: Unicode.Scalar) -> Bool {
    skipWhitespace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: token) else { return false }
    position += 1
    return true
  }

  private mutating func skipWhitespace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  private func error(_ what: String) -> StateError {
    StateError(.corrupt, "the header is no valid JSON: \(what) at its byte \(position)", path: path)
  }
}
