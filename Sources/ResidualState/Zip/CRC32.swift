import SystemZlib

/// CRC-32, the checksum of zip entries (ISO 3309).
enum CRC32 {
  /// The checksum of `bytes`, following on from those whose checksum is `crc`.
  static func checksum(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
    guard let base = bytes.baseAddress else { return crc }
    return UInt32(crc32_z(uLong(crc), base.assumingMemoryBound(to: UInt8.self), bytes.count))
  }

  /// The checksum of some bytes with checksum `first` and `count` more with checksum `second`.
  static func joined(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
    UInt32(crc32_combine(uLong(first), uLong(second), count))
  }
}
