import ResidualTensor

/// One block of memory, filled by several threads that each have a part of it to themselves.
///
/// It comes from the tensors' pool, on large pages, and goes back there: whoever reads several files waits for the
/// system to clear memory only once.
struct TensorBlock: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let owner: Storage

  init(byteCount: Int) {
    let floatSize = MemoryLayout<Float>.stride
    owner = Storage(uninitialized: (byteCount + floatSize - 1) / floatSize)
    bytes = UnsafeMutableRawBufferPointer(start: owner.pointer, count: byteCount)
  }

  /// The bytes as a storage that keeps the block.
  func storage() -> TensorStorage {
    TensorStorage(UnsafeRawBufferPointer(bytes)) { withExtendedLifetime(self) {} }
  }
}
