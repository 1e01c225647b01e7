import CHDF5

/// CRC-32C, the Castagnoli checksum: of tensors in our files, and of records in TensorBoard's.
public enum CRC32C {
  /// The checksum of `bytes`, following on from those whose checksum is `crc`.
  public static func checksum(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
    residual_crc32c(crc, bytes.baseAddress, bytes.count)
  }

  /// The checksum of `bytes`, following on from those whose checksum is `crc`.
  public static func checksum(_ bytes: some Sequence<UInt8>, after crc: UInt32 = 0) -> UInt32 {
    Array(bytes).withUnsafeBytes { checksum($0, after: crc) }
  }
}

/// The checksum our HDF5 and safetensors files keep with each tensor.
///
/// It is the CRC-32C of: the key, a zero byte, the type's name, a zero byte, the sizes as decimal numbers each with a
/// zero byte after it, and then, as little-endian 32-bit numbers, the CRC-32C of each piece of 1 MiB of the tensor's
/// bytes (so that pieces can be summed side by side). A tensor that lost its name, its shape or its type fails as one
/// that lost a bit does.
enum TensorChecksum {
  static let pieceSize = 1 << 20

  static func combine(key: String, dtype: DataType, shape: [Int], pieces: some Sequence<UInt32>) -> UInt32 {
    var bytes = Array(key.utf8) + [0] + Array(dtype.rawValue.utf8) + [0]
    for size in shape { bytes += Array(String(size).utf8) + [0] }
    for piece in pieces { withUnsafeBytes(of: piece.littleEndian) { bytes += $0 } }
    return CRC32C.checksum(bytes)
  }
}

extension TensorChecksum {
  /// The checksums of a tensor's pieces.
  static func pieces(of tensor: TensorData) -> [UInt32] {
    tensor.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: pieceSize).map { start in
        CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + pieceSize, bytes.count)]))
      }
    }
  }
}
