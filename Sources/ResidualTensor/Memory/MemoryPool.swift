import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Memory blocks for tensors, kept for reuse after a tensor is gone.
///
/// A training step asks for the same sizes again and again. Handing blocks back to the system each time would mean page
/// faults and zeroing on every operation; instead freed blocks wait here by size, so that memory stops growing after
/// the second step.
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
  }

  private static let state = Mutex(State())
  private static let alignment = 64
  private static let hugePage = 2 << 20

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
        for block in blocks { free(block.pointer) }
        state.allocated -= size * blocks.count
      }
      state.free = [:]
    }
  }

  /// The size that a request is rounded up to: steps of an eighth of the power of two below, so that at most an eighth
  /// is wasted and similar requests share blocks.
  static func blockSize(forBytes bytes: Int) -> Int {
    guard bytes > 512 else { return max(alignment, (bytes + alignment - 1) / alignment * alignment) }
    let power = 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)
    let step = max(alignment, power / 8)
    return (bytes + step - 1) / step * step
  }

  static func take(bytes: Int) -> UnsafeMutableRawPointer {
    let size = blockSize(forBytes: bytes)
    let reused = state.withLock { state -> Block? in
      state.inUse += size
      state.peakInUse = max(state.peakInUse, state.inUse)
      if let block = state.free[size]?.popLast() { return block }
      state.allocated += size
      return nil
    }
    if let reused { return reused.pointer }
    let isLarge = size >= 2 * hugePage
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, isLarge ? hugePage : alignment, size)
    guard status == 0, let pointer else {
      preconditionFailure("out of memory: a tensor of \(bytes) bytes; \(allocatedBytes) bytes are already allocated")
    }
    #if os(Linux)
      if isLarge { madvise(pointer, size, Int32(MADV_HUGEPAGE)) }
    #endif
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
}
