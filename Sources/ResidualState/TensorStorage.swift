/// Bytes that never change, released when the last tensor that shows them is gone.
///
/// Sendable because nothing writes to the bytes once the storage exists.
final class TensorStorage: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  private let release: @Sendable () -> Void

  /// Takes over `bytes`; `release` gives them back (frees memory, unmaps a file, lets go of an owner).
  init(_ bytes: UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void) {
    self.bytes = bytes
    self.release = release
  }

  /// Allocates `byteCount` bytes on a cache line's boundary and has them filled before anyone sees them.
  convenience init(byteCount: Int, initializing: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
    do {
      try initializing(buffer)
    } catch {
      buffer.deallocate()
      throw error
    }
    let address = UInt(bitPattern: buffer.baseAddress)
    self.init(UnsafeRawBufferPointer(buffer)) { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
  }

  deinit { release() }
}
