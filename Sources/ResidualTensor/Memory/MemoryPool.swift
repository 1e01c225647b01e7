import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Memory blocks for tensors, kept for reuse after a tensor is gone.
///
/// A training step asks for the same sizes again and again. Handing blocks back to the system each time would mean page
/// faults and zeroing on every operation; instead freed blocks wait here by size, so that memory stops growing after
/// the second step. Blocks of sizes that are no longer asked for go back to the system when new ones would take the pool
/// far beyond what tensors have ever held at once.
public enum MemoryPool {
  private struct Block: @unchecked Sendable {
    // Sendable: a free block belongs to nobody until the lock hands it to one owner.
    let pointer: UnsafeMutableRawPointer
  }

  private struct State {
    var free: [Int: [Block]] = [:]
    var allocated = 0
    var inUse = 0
    var peakInUse = 0

    /// Returns waiting blocks to the system, the largest first, as long as a new one of `size` would take the pool too
    /// far beyond the peak.
    mutating func makeRoom(for size: Int) {
      let limit = peakInUse + max(peakInUse / 64, 64 << 20)
      while allocated + size > limit, let largest = free.lazy.filter({ !$0.value.isEmpty }).map(\.key).max(),
        let block = free[largest]?.popLast()
      {
        allocated -= largest
        releaseMemory(block.pointer, size: largest)
      }
    }
  }

  private static let state = Mutex(State())

  /// Bytes taken from the system, whether in use or waiting for reuse.
  public static var allocatedBytes: Int { state.withLock { $0.allocated } }

  /// Bytes that live tensors hold.
  public static var bytesInUse: Int { state.withLock { $0.inUse } }

  /// The largest value that `bytesInUse` has had.
  public static var peakBytesInUse: Int { state.withLock { $0.peakInUse } }

  /// Returns every block that is not in use to the system.
  public static func trim() {
    state.withLock { state in
      for (size, blocks) in state.free {
        for block in blocks { releaseMemory(block.pointer, size: size) }
        state.allocated -= size * blocks.count
      }
      state.free = [:]
    }
  }

  /// The size that a request is rounded up to: steps of an eighth of the power of two below, so that at most an eighth
  /// is wasted and similar requests share blocks.
  static func blockSize(forBytes bytes: Int) -> Int {
    guard bytes > 512 else { return max(cacheLine, (bytes + cacheLine - 1) / cacheLine * cacheLine) }
    let power = 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)
    let step = max(cacheLine, power / 8)
    return (bytes + step - 1) / step * step
  }

  static func take(bytes: Int) -> UnsafeMutableRawPointer {
    let size = blockSize(forBytes: bytes)
    let reused = state.withLock { state -> Block? in
      state.inUse += size
      state.peakInUse = max(state.peakInUse, state.inUse)
      if let block = state.free[size]?.popLast() { return block }
      state.makeRoom(for: size)
      state.allocated += size
      return nil
    }
    if let reused { return reused.pointer }
    guard let pointer = allocateMemory(size: size) else {
      preconditionFailure("out of memory: a tensor of \(bytes) bytes; \(allocatedBytes) bytes are already allocated")
    }
    return pointer
  }

  static func give(_ pointer: UnsafeMutableRawPointer, bytes: Int) {
    let size = blockSize(forBytes: bytes)
    let block = Block(pointer: pointer)
    state.withLock { state in
      state.inUse -= size
      state.free[size, default: []].append(block)
    }
  }

  /// Uninitialised memory for `count` elements while `body` runs.
  static func withBlock<Element: BitwiseCopyable>(
    of type: Element.Type, count: Int, _ body: (UnsafeMutablePointer<Element>) -> Void
  ) {
    let bytes = max(1, count) * MemoryLayout<Element>.stride
    let block = take(bytes: bytes)
    defer { give(block, bytes: bytes) }
    body(block.bindMemory(to: type, capacity: max(1, count)))
  }
}

private let cacheLine = 64
private let hugePage = 2 << 20

/// Whether a block gets pages of its own, which go back to the system when it does.
///
/// Smaller blocks share the heap, where room between two of them may fit nothing else.
private func hasOwnPages(_ size: Int) -> Bool { size >= hugePage / 4 }

/// Memory for a block, aligned to a cache line; large blocks to huge pages.
///
/// Huge pages spare the processor most of its page look-ups. Blocks below their size lie beside each other and share
/// them.
private func allocateMemory(size: Int) -> UnsafeMutableRawPointer? {
  guard hasOwnPages(size) else {
    var pointer: UnsafeMutableRawPointer?
    return posix_memalign(&pointer, cacheLine, size) == 0 ? pointer : nil
  }
  let alignment = size >= 2 * hugePage ? hugePage : cacheLine
  let reserved = alignment == hugePage ? size + hugePage : size
  guard let mapped = mmap(nil, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    mapped != MAP_FAILED
  else { return nil }
  let block = mapped.alignedUp(toMultipleOf: alignment)
  let before = mapped.distance(to: block), after = reserved - before - size
  if before > 0 { munmap(mapped, before) }
  if after > 0 { munmap(block + size, after) }
  #if os(Linux)
    madvise(block, size, Int32(MADV_HUGEPAGE))
  #endif
  return block
}

private func releaseMemory(_ pointer: UnsafeMutableRawPointer, size: Int) {
  if hasOwnPages(size) { munmap(pointer, size) } else { free(pointer) }
}
