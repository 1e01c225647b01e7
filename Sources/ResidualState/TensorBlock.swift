import ResidualTensor

/// One block of memory, filled by several threads that each have a part of it to themselves.
///
/// A large one comes from the tensors' pool, on large pages, and goes back there: whoever reads several files waits for
/// the system to clear memory only once. A small one is as long as was asked for, so that sanitizers see its ends.
struct TensorBlock: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let owner: Storage?

  init(byteCount: Int) {
    let fewestPooled = 2 << 20
    guard byteCount >= fewestPooled else {
      owner = nil
      bytes = .allocate(byteCount: byteCount, alignment: 64)
      return
    }
    let floatSize = MemoryLayout<Float>.stride
    let pooled = Storage(uninitialized: (byteCount + floatSize - 1) / floatSize)
    owner = pooled
    bytes = UnsafeMutableRawBufferPointer(start: pooled.pointer, count: byteCount)
  }

  /// Hands the memory over to a storage that frees it.
  func storage() -> TensorStorage {
    TensorStorage(UnsafeRawBufferPointer(bytes)) { if owner == nil { bytes.deallocate() } }
  }
}
