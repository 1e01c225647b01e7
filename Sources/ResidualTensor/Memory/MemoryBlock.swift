import CKernels
import Foundation

#if canImport(Glibc)
  import Glibc
#endif

let cacheLine = 64
private let hugePage = 2 << 20

/// Memory from the system, of one owner at a time.
struct MemoryBlock: @unchecked Sendable {
  // Sendable: a block that waits in the pool belongs to nobody until the lock hands it to one owner.
  let pointer: UnsafeMutableRawPointer
  let size: Int

  /// Whether a block of `size` gets pages of its own, which go back to the system when it does.
  ///
  /// Smaller blocks share the heap, where room between two of them may fit nothing else.
  private static func hasOwnPages(_ size: Int) -> Bool { size >= hugePage / 4 }

  /// Whether a block of `size` begins with a huge page.
  ///
  /// These spare the processor most of its page look-ups. Other blocks with pages of their own lie beside each other and
  /// share them.
  private static func isAlignedToHugePages(_ size: Int) -> Bool { size >= 2 * hugePage }

  /// Memory for a block, aligned to a cache line or a huge page; nil when the system has none.
  static func allocated(size: Int) -> Self? {
    guard hasOwnPages(size) else {
      var pointer: UnsafeMutableRawPointer?
      return posix_memalign(&pointer, cacheLine, size) == 0 ? pointer.map { Self(pointer: $0, size: size) } : nil
    }
    let alignment = isAlignedToHugePages(size) ? hugePage : cacheLine
    let reserved = alignment == hugePage ? size + hugePage : size
    guard let mapped = mmap(nil, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      mapped != MAP_FAILED
    else { return nil }
    let pointer = mapped.alignedUp(toMultipleOf: alignment)
    let before = mapped.distance(to: pointer), after = reserved - before - size
    if before > 0 { munmap(mapped, before) }
    if after > 0 { munmap(pointer + size, after) }
    #if os(Linux)
      madvise(pointer, size, Int32(MADV_HUGEPAGE))
    #endif
    return Self(pointer: pointer, size: size)
  }

  /// Gives the block's memory to `other` as far as it fits, from byte `offset` on, and the rest back to the system.
  ///
  /// Whole huge pages move. The system clears memory before it hands it out: what stays with the process is cheaper.
  ///
  /// - Returns: The bytes that `other` got.
  func release(to other: Self, at offset: Int) -> Int {
    let fitting = min(size, other.size - offset) / hugePage * hugePage
    let moves = Self.isAlignedToHugePages(size) && Self.isAlignedToHugePages(other.size) && fitting > 0
    guard moves && rk_pages_move(pointer, other.pointer + offset, fitting) else {
      release()
      return 0
    }
    if size > fitting { munmap(pointer + fitting, size - fitting) }
    return fitting
  }

  func release() {
    if Self.hasOwnPages(size) { munmap(pointer, size) } else { free(pointer) }
  }
}
