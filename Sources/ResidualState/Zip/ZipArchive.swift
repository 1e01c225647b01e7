import OrderedCollections

/// The table of contents of a zip file, checked as a whole before anything is read.
///
/// Format: PKWARE's APPNOTE.TXT 6.3.10, with zip64. Archives that programs read differently are refused: entries that
/// overlap, names given twice, local headers that contradict the central directory, anything behind the end record.
struct ZipArchive {
  /// A file in the archive.
  struct Entry {
    let name: String
    let isDeflated: Bool
    let crc: UInt32
    /// The bytes it takes in the archive.
    let storedSize: Int
    /// The bytes it has unpacked.
    let size: Int
    let headerOffset: Int
    /// Where its bytes begin.
    fileprivate(set) var dataOffset = 0

    var dataEnd: Int { dataOffset + storedSize }
  }

  let file: InputFile
  /// The entries by name, in the order of the central directory.
  let entries: OrderedDictionary<String, Entry>

  init(_ file: InputFile) throws(StateError) {
    self.file = file
    let directory = try Directory.find(in: file)
    let found = try directory.entries()
    try Self.checkPlaces(found, before: directory.range.lowerBound, file.path)
    var entries: OrderedDictionary<String, Entry> = [:]
    for entry in found {
      guard entries.updateValue(entry, forKey: entry.name) == nil else {
        throw StateError(.corrupt, "the zip file holds \"\(entry.name)\" twice", key: entry.name, path: file.path)
      }
    }
    self.entries = entries
  }

  /// Throws unless the entries follow each other without overlapping and end before the directory.
  private static func checkPlaces(
    _ entries: [Entry], before limit: Int, _ path: String
  ) throws(StateError) {
    var end = 0
    var last = ""
    for entry in entries.sorted(by: { $0.headerOffset < $1.headerOffset }) {
      if entry.headerOffset < end {
        throw StateError(
          .corrupt, "\"\(entry.name)\" and \"\(last)\" overlap in the zip file", key: entry.name, path: path)
      }
      guard entry.storedSize <= limit - entry.dataOffset else {
        throw StateError(
          .truncated, "\"\(entry.name)\" claims \(entry.storedSize) bytes, more than the file has", key: entry.name,
          path: path)
      }
      (end, last) = (entry.dataEnd, entry.name)
    }
  }
}

/// The central directory, found from the file's end.
private struct Directory {
  let file: InputFile
  let range: Range<Int>
  let count: Int

  static func find(in file: InputFile) throws(StateError) -> Directory {
    let endRecordSize = 22
    let tailStart = max(0, file.size - endRecordSize - 0xFFFF)
    let tail = try file.bytes(in: tailStart..<file.size)
    let signature: [UInt8] = [0x50, 0x4B, 0x05, 0x06]
    let place = stride(from: tail.count - endRecordSize, through: 0, by: -1).first { start in
      tail[start...].starts(with: signature)
        && start + endRecordSize + Int(tail[start + 20]) + Int(tail[start + 21]) << 8 == tail.count
    }
    guard let place else {
      throw StateError(
        .truncated,
        "the zip file's end is missing: of \(file.size) bytes there, some are lost; copy or download it again",
        path: file.path)
    }
    var record = ByteCursor(Array(tail[place...]), of: "the zip file's end record", path: file.path)
    _ = try record.skip(4)
    let disks = [try record.integer(UInt16.self), try record.integer(UInt16.self)]
    var counts = [Int(try record.integer(UInt16.self)), Int(try record.integer(UInt16.self))]
    var size = Int(try record.integer(UInt32.self))
    var offset = Int(try record.integer(UInt32.self))
    var end = tailStart + place
    if let large = try zip64Record(before: end, file) {
      // Where the short record has a number too, programs that know only that one must read the same.
      let agrees =
        zip(counts, large.counts).allSatisfy { $0 == $1 || $0 == 0xFFFF }
        && (size == large.size || size == 0xFFFF_FFFF) && (offset == large.offset || offset == 0xFFFF_FFFF)
      guard agrees else {
        throw StateError(.corrupt, "the zip file's two end records contradict each other", path: file.path)
      }
      (counts, size, offset, end) = large
    }
    guard disks.allSatisfy({ $0 == 0 || $0 == 0xFFFF }), counts[0] == counts[1] else {
      throw StateError(.unsupported, "the zip file is one of several parts", path: file.path)
    }
    guard offset <= end, size == end - offset, counts[0] <= size / 46 else {
      throw StateError(
        .corrupt, "the zip file's directory is not where its end record says: bytes are lost or added", path: file.path)
    }
    return Directory(file: file, range: offset..<end, count: counts[0])
  }

  /// Counts, size and offset of the directory, and where it must end, from the zip64 record if there is one.
  private static func zip64Record(
    before end: Int, _ file: InputFile
  ) throws(StateError) -> (counts: [Int], size: Int, offset: Int, end: Int)? {
    guard end >= 20 else { return nil }
    var locator = ByteCursor(try file.bytes(in: end - 20..<end), of: "the zip64 locator", path: file.path)
    guard try locator.integer(UInt32.self) == 0x0706_4B50 else { return nil }
    _ = try locator.skip(4)
    let place = try locator.size(UInt64.self)
    guard place <= end - 20, end - 20 - place >= 56 else {
      throw StateError(.corrupt, "the zip64 end record is not where its locator says", path: file.path)
    }
    var record = ByteCursor(try file.bytes(in: place..<end - 20), of: "the zip64 end record", path: file.path)
    guard try record.integer(UInt32.self) == 0x0606_4B50, try record.size(UInt64.self) == end - 20 - place - 12 else {
      throw StateError(.corrupt, "the zip64 end record is not where its locator says", path: file.path)
    }
    _ = try record.skip(12)
    let counts = [try record.size(UInt64.self), try record.size(UInt64.self)]
    return (counts, try record.size(UInt64.self), try record.size(UInt64.self), place)
  }

  /// The entries, each with the place its local header gives for its bytes.
  func entries() throws(StateError) -> [ZipArchive.Entry] {
    var cursor = ByteCursor(try file.bytes(in: range), of: "the zip file's directory", path: file.path)
    var entries: [ZipArchive.Entry] = []
    for _ in 0..<count { entries.append(try nextEntry(&cursor)) }
    guard cursor.isAtEnd else {
      throw StateError(.corrupt, "the zip file's directory has more entries than it counts", path: file.path)
    }
    return entries
  }

  private func nextEntry(_ cursor: inout ByteCursor) throws(StateError) -> ZipArchive.Entry {
    guard try cursor.integer(UInt32.self) == 0x0201_4B50 else {
      throw StateError(.corrupt, "the zip file's directory is damaged", path: file.path)
    }
    _ = try cursor.skip(4)
    let flags = try cursor.integer(UInt16.self)
    let method = try cursor.integer(UInt16.self)
    _ = try cursor.skip(4)
    let crc = try cursor.integer(UInt32.self)
    var storedSize = try cursor.size(UInt32.self)
    var size = try cursor.size(UInt32.self)
    let (nameLength, extraLength) = (try cursor.size(UInt16.self), try cursor.size(UInt16.self))
    let commentLength = try cursor.size(UInt16.self)
    _ = try cursor.skip(8)
    var headerOffset = try cursor.size(UInt32.self)
    let nameBytes = Array(try cursor.take(nameLength))
    let extra = try cursor.take(extraLength)
    _ = try cursor.skip(commentLength)
    guard let name = String(validating: nameBytes, as: UTF8.self) else {
      throw StateError(.unsupported, "a name in the zip file is not UTF-8", path: file.path)
    }
    if let large = try zip64Field(of: Array(extra)) {
      var field = ByteCursor(large, of: "the zip64 sizes of \"\(name)\"", path: file.path)
      if size == 0xFFFF_FFFF { size = try field.size(UInt64.self) }
      if storedSize == 0xFFFF_FFFF { storedSize = try field.size(UInt64.self) }
      if headerOffset == 0xFFFF_FFFF { headerOffset = try field.size(UInt64.self) }
    }
    if flags & 0x41 != 0 { throw StateError(.unsupported, "\"\(name)\" is encrypted", key: name, path: file.path) }
    guard method == 0 || method == 8 else {
      throw StateError(
        .unsupported, "\"\(name)\" is compressed by method \(method): only stored and deflated entries are read",
        key: name, path: file.path)
    }
    if method == 0 && size != storedSize {
      throw StateError(.corrupt, "\"\(name)\" is stored but has two sizes", key: name, path: file.path)
    }
    var entry = ZipArchive.Entry(
      name: name, isDeflated: method == 8, crc: crc, storedSize: storedSize, size: size, headerOffset: headerOffset)
    entry.dataOffset = try dataOffset(of: entry, nameBytes, method)
    return entry
  }

  /// Where the bytes begin, from the local header, which must say what the directory says.
  private func dataOffset(
    of entry: ZipArchive.Entry, _ name: [UInt8], _ method: UInt16
  ) throws(StateError) -> Int {
    let start = min(entry.headerOffset, range.lowerBound)
    let header = try file.bytes(in: start..<min(start + 30 + name.count, range.lowerBound))
    var cursor = ByteCursor(header, of: "the header of \"\(entry.name)\"", path: file.path)
    let signature = try cursor.integer(UInt32.self)
    _ = try cursor.skip(2)
    let flags = try cursor.integer(UInt16.self)
    let localMethod = try cursor.integer(UInt16.self)
    _ = try cursor.skip(4)
    let crc = try cursor.integer(UInt32.self)
    let sizes = [try cursor.size(UInt32.self), try cursor.size(UInt32.self)]
    let (nameLength, extraLength) = (try cursor.size(UInt16.self), try cursor.size(UInt16.self))
    // Bit 3: checksum and sizes follow the bytes; else they are here, or all ones where a zip64 field has them.
    let agrees =
      flags & 8 != 0
      || crc == entry.crc && zip(sizes, [entry.storedSize, entry.size]).allSatisfy { $0 == $1 || $0 == 0xFFFF_FFFF }
    guard signature == 0x0403_4B50, localMethod == method, nameLength == name.count, agrees,
      try cursor.take(nameLength).elementsEqual(name)
    else {
      throw StateError(
        .corrupt, "the header of \"\(entry.name)\" contradicts the zip file's directory", key: entry.name,
        path: file.path)
    }
    return entry.headerOffset + 30 + nameLength + extraLength
  }

  /// The zip64 field among an entry's extra fields.
  private func zip64Field(of extra: [UInt8]) throws(StateError) -> [UInt8]? {
    var cursor = ByteCursor(extra, of: "an extra field in the zip file", path: file.path)
    while extra.count - cursor.position >= 4 {
      let id = try cursor.integer(UInt16.self)
      let field = try cursor.take(try cursor.size(UInt16.self))
      if id == 1 { return Array(field) }
    }
    return nil
  }
}
