import CKernels

/// Which elements of a [rows, channels] matrix a ReLU has let through, one bit for each: a thirty-second of the result that
/// the backward pass would otherwise read.
final class ReLUMask {
  private let bytesPerRow: Int
  private let bytes: Int
  private let pointer: UnsafeMutablePointer<UInt8>

  /// Uninitialised.
  init(rows: Int, channels: Int) {
    bytesPerRow = rk_relu_mask_bytes(channels)
    bytes = max(1, rows * bytesPerRow)
    pointer = MemoryPool.take(bytes: bytes).bindMemory(to: UInt8.self, capacity: bytes)
  }

  /// The bits from the first channel of a row on.
  func row(_ row: Int) -> UnsafeMutablePointer<UInt8> { pointer + row * bytesPerRow }

  deinit { MemoryPool.give(pointer, bytes: bytes) }
}
