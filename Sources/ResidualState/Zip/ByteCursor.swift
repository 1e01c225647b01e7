/// Walks over bytes from the start, little-endian, and throws where they end.
struct ByteCursor {
  let bytes: [UInt8]
  private(set) var position = 0
  private let what: String
  private let path: String

  /// Walks over `bytes`, which errors call `what` of the file at `path`.
  init(_ bytes: [UInt8], of what: String, path: String) {
    self.bytes = bytes
    self.what = what
    self.path = path
  }

  var isAtEnd: Bool { position == bytes.count }

  /// Passes over `count` bytes and says where they are.
  mutating func skip(_ count: Int) throws(StateError) -> Range<Int> {
    guard count >= 0, count <= bytes.count - position else {
      throw StateError(.truncated, "\(what) ends early: \(count) bytes are expected at \(position)", path: path)
    }
    defer { position += count }
    return position..<position + count
  }

  mutating func take(_ count: Int) throws(StateError) -> ArraySlice<UInt8> { bytes[try skip(count)] }

  mutating func byte() throws(StateError) -> UInt8 { bytes[try skip(1).lowerBound] }

  /// The next number, little-endian.
  mutating func integer<I: FixedWidthInteger>(_: I.Type = I.self) throws(StateError) -> I {
    let range = try skip(I.bitWidth / 8)
    return bytes.withUnsafeBytes { I(littleEndian: $0.loadUnaligned(fromByteOffset: range.lowerBound, as: I.self)) }
  }

  /// The next number as a size or an offset, which cannot be beyond the file's end where it does not fit.
  mutating func size<I: FixedWidthInteger>(_: I.Type) throws(StateError) -> Int {
    let value = try integer(I.self)
    guard let size = Int(exactly: value), size >= 0 else {
      throw StateError(.corrupt, "\(what) claims a size of \(value)", path: path)
    }
    return size
  }

  /// The bytes up to the next line feed, which is passed over.
  mutating func line() throws(StateError) -> ArraySlice<UInt8> {
    guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else {
      throw StateError(.truncated, "\(what) ends within a line", path: path)
    }
    defer { position = end + 1 }
    return bytes[position..<end]
  }
}
