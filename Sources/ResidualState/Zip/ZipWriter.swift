/// Writes zip files whose entries are stored as they are, each beginning at a multiple of 64 bytes.
///
/// The same entries give the same bytes: every time is that of the format's first day. Entries and archives beyond
/// 4 GiB or 65,535 entries use zip64.
enum ZipWriter {
  /// A file of the archive: some bytes and then, where there is one, a tensor's.
  struct Entry: Sendable {
    let name: String
    let head: [UInt8]
    let tensor: TensorData?

    init(_ name: String, _ head: [UInt8] = [], tensor: TensorData? = nil) {
      self.name = name
      self.head = head
      self.tensor = tensor
    }

    var size: Int { head.count + (tensor?.byteCount ?? 0) }
  }

  static func write(_ entries: [Entry], to path: String) throws(StateError) {
    if let bad = entries.first(where: { $0.name.utf8.count > 1000 || $0.name.utf8.contains(0) }) {
      throw StateError(
        .invalidKey, "\"\(bad.name.prefix(100))\" is too long for a zip file (1,000 bytes) or holds a zero byte",
        path: path)
    }
    let checksums = checksums(of: entries)
    try AtomicFile.write(to: path) { file throws(StateError) in
      var position = 0
      var directory: [UInt8] = []
      for (entry, crc) in zip(entries, checksums) {
        let header = localHeader(entry, crc, at: position)
        try file.write(header, at: position)
        try file.write(entry.head, at: position + header.count)
        if let tensor = entry.tensor { try file.write(tensor, at: position + header.count + entry.head.count) }
        directory += directoryHeader(entry, crc, at: position)
        position += header.count + entry.size
      }
      let end = endRecords(count: entries.count, directorySize: directory.count, directoryOffset: position)
      try file.write(directory + end, at: position)
    }
  }

  private static func checksums(of entries: [Entry]) -> [UInt32] {
    [UInt32](unsafeUninitializedCapacity: entries.count) { buffer, initialized in
      nonisolated(unsafe) let sums = buffer
      concurrently(entries.count, bytes: entries.reduce(0) { $0 + $1.size }) { index in
        sums.initializeElement(at: index, to: checksum(of: entries[index]))
      }
      initialized = entries.count
    }
  }

  private static func checksum(of entry: Entry) -> UInt32 {
    let head = entry.head.withUnsafeBytes { CRC32.checksum($0) }
    return entry.tensor?.withUnsafeBytes { CRC32.checksum($0, after: head) } ?? head
  }

  private static let alignment = 64
  private static let largeSize = 0xFFFF_FFFF

  /// The header before an entry's bytes, with an extra field that fills it up to a multiple of 64 bytes.
  private static func localHeader(_ entry: Entry, _ crc: UInt32, at position: Int) -> [UInt8] {
    let isLarge = entry.size >= largeSize
    var extra: [UInt8] = isLarge ? field(1, little(UInt64(entry.size)) + little(UInt64(entry.size))) : []
    // An extra field takes at least four bytes: identifier ("FB", as PyTorch's) and length.
    let unpadded = position + 30 + entry.name.utf8.count + extra.count + 4
    extra += field(0x4246, [UInt8](repeating: UInt8(ascii: "Z"), count: (alignment - unpadded % alignment) % alignment))
    let size = isLarge ? UInt32.max : UInt32(entry.size)
    return little(UInt32(0x0403_4B50)) + versionFlagsMethodAndTime(isLarge) + little(crc) + little(size) + little(size)
      + little(UInt16(entry.name.utf8.count)) + little(UInt16(extra.count)) + Array(entry.name.utf8) + extra
  }

  private static func directoryHeader(_ entry: Entry, _ crc: UInt32, at position: Int) -> [UInt8] {
    let isLarge = entry.size >= largeSize
    let isFar = position >= largeSize
    var sizes: [UInt8] = isLarge ? little(UInt64(entry.size)) + little(UInt64(entry.size)) : []
    if isFar { sizes += little(UInt64(position)) }
    let extra = sizes.isEmpty ? [] : field(1, sizes)
    let size = isLarge ? UInt32.max : UInt32(entry.size)
    return little(UInt32(0x0201_4B50)) + little(UInt16(45)) + versionFlagsMethodAndTime(isLarge || isFar) + little(crc)
      + little(size) + little(size) + little(UInt16(entry.name.utf8.count)) + little(UInt16(extra.count))
      + [UInt8](repeating: 0, count: 10) + little(isFar ? UInt32.max : UInt32(position)) + Array(entry.name.utf8)
      + extra
  }

  /// The version needed, the flag for UTF-8 names, the method "stored", and the first of January 1980.
  private static func versionFlagsMethodAndTime(_ isLarge: Bool) -> [UInt8] {
    little(UInt16(isLarge ? 45 : 20)) + little(UInt16(0x0800)) + little(UInt16(0)) + little(UInt16(0))
      + little(UInt16(0x0021))
  }

  private static func endRecords(count: Int, directorySize: Int, directoryOffset: Int) -> [UInt8] {
    var records: [UInt8] = []
    let isLarge = count >= 0xFFFF || directorySize >= largeSize || directoryOffset >= largeSize
    if isLarge {
      records += little(UInt32(0x0606_4B50)) + little(UInt64(44)) + little(UInt16(45)) + little(UInt16(45))
      records += [UInt8](repeating: 0, count: 8) + little(UInt64(count)) + little(UInt64(count))
      records += little(UInt64(directorySize)) + little(UInt64(directoryOffset))
      records += little(UInt32(0x0706_4B50)) + little(UInt32(0))
      records += little(UInt64(directoryOffset + directorySize)) + little(UInt32(1))
    }
    let shortCount = UInt16(clamping: count)
    return records + little(UInt32(0x0605_4B50)) + [0, 0, 0, 0] + little(shortCount) + little(shortCount)
      + little(UInt32(clamping: directorySize)) + little(UInt32(clamping: directoryOffset)) + [0, 0]
  }

  private static func field(_ id: UInt16, _ content: [UInt8]) -> [UInt8] {
    little(id) + little(UInt16(content.count)) + content
  }

  private static func little<I: FixedWidthInteger>(_ value: I) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
