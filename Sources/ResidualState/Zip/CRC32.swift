import CHDF5
import SystemZlib

/// CRC-32, the checksum of zip entries (ISO 3309): by the processor's multiplication where it has it, else by zlib.
enum CRC32 {
  /// The checksum of `bytes`, following on from those whose checksum is `crc`.
  static func checksum(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
    guard let base = bytes.baseAddress else { return crc }
    var folded = crc
    let done = residual_crc32_fold(&folded, base, bytes.count)
    return UInt32(crc32_z(uLong(folded), (base + done).assumingMemoryBound(to: UInt8.self), bytes.count - done))
  }

  /// The checksum of some bytes with checksum `first` and `count` more with checksum `second`.
  static func joined(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
    UInt32(crc32_combine(uLong(first), uLong(second), count))
  }
}
