import Foundation

/// One block of memory on large pages, filled by several threads that each have a part of it to themselves.
struct TensorBlock: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) {
    let hugePage = 2 << 20
    bytes = .allocate(byteCount: byteCount, alignment: byteCount >= hugePage ? hugePage : 64)
    // Advice: where the system does not take it, small pages serve as well.
    if byteCount >= hugePage { madvise(bytes.baseAddress, byteCount, Int32(MADV_HUGEPAGE)) }
  }

  /// Hands the memory over to a storage that frees it.
  func storage() -> TensorStorage {
    TensorStorage(UnsafeRawBufferPointer(bytes)) { bytes.deallocate() }
  }
}
