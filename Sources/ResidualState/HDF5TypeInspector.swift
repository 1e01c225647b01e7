/// Checks the description of an element type in an HDF5 file, types within types included.
///
/// Layout: HDF5 File Format Specification, "The Datatype Message".
struct HDF5TypeInspector {
  let path: String
  private var depth = 0

  private static let depthLimit = 16

  init(path: String) { self.path = path }

  private func damaged(_ what: String) -> StateError {
    StateError(.corrupt, "has an element type that contradicts itself: \(what)", path: path)
  }

  /// Passes over a type and returns the size of an element.
  mutating func inspect(_ cursor: inout ByteCursor) throws(StateError) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw damaged("types lie more than \(Self.depthLimit) deep") }
    let head = try cursor.integer(UInt32.self)
    let (version, kind, bits) = (Int(head >> 4 & 15), head & 15, Int(head >> 8))
    let size = try cursor.size(UInt32.self)
    guard (1...3).contains(version), size > 0 else { throw damaged("its version or its size") }
    switch kind {
    case 0, 4: try inspectBits(&cursor, size)  // integer, bit field
    case 1:  // float
      try inspectBits(&cursor, size)
      _ = try cursor.skip(8)
    case 2: _ = try cursor.skip(2)  // time
    case 3, 7: break  // string, reference
    case 5: _ = try cursor.skip(bits & 0xFF)  // opaque, with a tag
    case 6: try inspectCompound(&cursor, version, members: bits & 0xFFFF, size)
    case 8: try inspectEnumeration(&cursor, version, members: bits & 0xFFFF, size)
    case 9: _ = try inspect(&cursor)  // variable length
    case 10: try inspectArray(&cursor, version, size)
    default: throw damaged("its class")
    }
    return size
  }

  private func inspectBits(_ cursor: inout ByteCursor, _ size: Int) throws(StateError) {
    let (offset, precision) = (try cursor.size(UInt16.self), try cursor.size(UInt16.self))
    guard precision > 0, (offset + precision + 7) / 8 <= size else { throw damaged("its bits") }
  }

  /// The integers' type, the names, the integers: all of the enumeration's own size.
  private mutating func inspectEnumeration(
    _ cursor: inout ByteCursor, _ version: Int, members: Int, _ size: Int
  ) throws(StateError) {
    guard try isInteger(cursor), try inspect(&cursor) == size else { throw damaged("an enumeration's size") }
    for _ in 0..<members { try skipName(&cursor, version) }
    _ = try cursor.skip(members * size)
  }

  private mutating func inspectCompound(
    _ cursor: inout ByteCursor, _ version: Int, members: Int, _ size: Int
  ) throws(StateError) {
    guard members > 0 else { throw damaged("a compound of nothing") }
    // Since the third version offsets take as few bytes as the size needs.
    let offsetBytes = version < 3 ? 4 : (Int.bitWidth - size.leadingZeroBitCount + 7) / 8
    for _ in 0..<members {
      try skipName(&cursor, version)
      let offset = try cursor.take(offsetBytes).reversed().reduce(0) { $0 << 8 | Int($1) }
      if version == 1 {
        // Rank and sizes of an array; later versions have a type for that.
        guard try cursor.byte() == 0 else { throw damaged("an array of the first version") }
        _ = try cursor.skip(27)
      }
      guard offset <= size, try inspect(&cursor) <= size - offset else { throw damaged("a compound's members") }
    }
  }

  private mutating func inspectArray(
    _ cursor: inout ByteCursor, _ version: Int, _ size: Int
  ) throws(StateError) {
    let rank = Int(try cursor.byte())
    guard version > 1, (1...32).contains(rank) else { throw damaged("an array's rank") }
    if version == 2 { _ = try cursor.skip(3) }
    var count = 1
    for _ in 0..<rank {
      let (product, overflow) = count.multipliedReportingOverflow(by: try cursor.size(UInt32.self))
      if overflow { throw damaged("an array's sizes") }
      count = product
    }
    if version == 2 { _ = try cursor.skip(4 * rank) }
    let (expected, overflow) = count.multipliedReportingOverflow(by: try inspect(&cursor))
    guard !overflow, expected == size else { throw damaged("an array's size") }
  }

  private func isInteger(_ cursor: ByteCursor) throws(StateError) -> Bool {
    var ahead = cursor
    return try ahead.byte() & 15 == 0
  }

  /// A name and its zero byte, before the third version filled up to a multiple of eight bytes.
  private func skipName(_ cursor: inout ByteCursor, _ version: Int) throws(StateError) {
    guard let end = cursor.bytes[cursor.position...].firstIndex(of: 0) else { throw damaged("a name without an end") }
    let length = end + 1 - cursor.position
    _ = try cursor.skip(version < 3 ? (length + 7) & ~7 : length)
  }
}
