/// Makes zip files for the tests, as wrong as they ask for.
enum TestZip {
  struct Entry {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// What the headers claim, where that is not the truth.
    var size: UInt32?
    var storedSize: UInt32?
    var crc: UInt32?
    var localName: String?
    var localSize: UInt32?
    var headerOffset: UInt32?

    init(_ name: String, _ data: [UInt8]) {
      self.name = name
      self.data = data
    }
  }

  static func make(_ entries: [Entry], count: UInt16? = nil, comment: [UInt8] = [], gap: Int = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let stored = entry.storedSize ?? UInt32(entry.data.count)
      let size = entry.size ?? stored
      let common: [UInt8] =
        littleEndian(20 as UInt16) + littleEndian(entry.flags) + littleEndian(entry.method) + [0, 0, 0, 0]
        + littleEndian(entry.crc ?? crc(entry.data))
      let offset = entry.headerOffset ?? UInt32(bytes.count)
      let localName = Array((entry.localName ?? entry.name).utf8)
      bytes += littleEndian(0x0403_4B50 as UInt32) + common + littleEndian(entry.localSize ?? stored)
      bytes += littleEndian(size) + littleEndian(UInt16(localName.count)) + [0, 0] + localName + entry.data
      directory += littleEndian(0x0201_4B50 as UInt32) + [20, 0] + common + littleEndian(stored) + littleEndian(size)
      directory += littleEndian(UInt16(entry.name.utf8.count)) + [UInt8](repeating: 0, count: 12)
      directory += littleEndian(offset) + Array(entry.name.utf8)
    }
    bytes += [UInt8](repeating: 0, count: gap)
    let start = UInt32(bytes.count - gap)
    let claimed = littleEndian(count ?? UInt16(entries.count))
    return bytes + directory + littleEndian(0x0605_4B50 as UInt32) + [0, 0, 0, 0] + claimed + claimed
      + littleEndian(UInt32(directory.count)) + littleEndian(start) + littleEndian(UInt16(comment.count)) + comment
  }

  /// CRC-32 bit by bit, so that the tests do not lean on what they test.
  static func crc(_ bytes: [UInt8]) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return ~crc
  }
}
