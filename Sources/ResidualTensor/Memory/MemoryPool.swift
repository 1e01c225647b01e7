import Foundation
import Synchronization

/// Memory blocks for tensors, kept for reuse after a tensor is gone.
///
/// A training step asks for the same sizes again and again. Handing blocks back to the system each time would mean page
/// faults and zeroing on every operation; instead freed blocks wait here by size, so that memory stops growing after
/// the second step. Blocks of sizes that are no longer asked for are made into new ones, or go back to the system, when
/// these would take the pool far beyond what tensors have ever held at once.
public enum MemoryPool {
  private struct State {
    /// Waiting blocks by the number of their size: a look at one costs no hash and no allocation, which a dictionary's
    /// would, thousands of times a training step.
    var free = [[MemoryBlock]](repeating: [], count: sizes)
    var allocated = 0
    var inUse = 0
    var peakInUse = 0

    /// Takes waiting blocks out of the pool, the largest first, as long as a new one of `size` would take it too far
    /// beyond the peak.
    mutating func makeRoom(for size: Int) -> [MemoryBlock] {
      let limit = peakInUse + max(peakInUse / 64, 64 << 20)
      var removed: [MemoryBlock] = []
      while allocated + size > limit, let largest = free.lastIndex(where: { !$0.isEmpty }) {
        let block = free[largest].removeLast()
        allocated -= block.size
        removed.append(block)
      }
      return removed
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
      for number in state.free.indices {
        for block in state.free[number] {
          block.release()
          state.allocated -= block.size
        }
        state.free[number] = []
      }
    }
  }

  /// Block sizes from one power of two to the next; below the first such power there is one for each cache line.
  private static let stepsToDouble = 8

  private static let sizes = sizeNumber(ofBlock: 1 << (Int.bitWidth - 2)) + stepsToDouble

  /// The size that a request is rounded up to: steps of an eighth of the power of two below, so that at most an eighth
  /// is wasted and similar requests share blocks.
  static func blockSize(forBytes bytes: Int) -> Int {
    let power = 1 << (Int.bitWidth - 1 - max(bytes, 1).leadingZeroBitCount)
    let step = max(cacheLine, power / stepsToDouble)
    return max(step, (bytes + step - 1) / step * step)
  }

  /// Numbers the sizes of blocks in order, from 0 on.
  static func sizeNumber(ofBlock size: Int) -> Int {
    guard size > stepsToDouble * cacheLine else { return size / cacheLine - 1 }
    let exponent = Int.bitWidth - 1 - size.leadingZeroBitCount
    let power = 1 << exponent
    let doublings = exponent - (stepsToDouble * cacheLine).trailingZeroBitCount
    return stepsToDouble - 1 + doublings * stepsToDouble + (size - power) / (power / stepsToDouble)
  }

  static func take(bytes: Int) -> UnsafeMutableRawPointer {
    let size = blockSize(forBytes: bytes)
    let (reused, removed) = state.withLock { state -> (MemoryBlock?, [MemoryBlock]) in
      state.inUse += size
      state.peakInUse = max(state.peakInUse, state.inUse)
      if let block = state.free[sizeNumber(ofBlock: size)].popLast() { return (block, []) }
      defer { state.allocated += size }
      return (nil, state.makeRoom(for: size))
    }
    if let reused { return reused.pointer }
    guard let block = MemoryBlock.allocated(size: size) else {
      preconditionFailure("out of memory: a tensor of \(bytes) bytes; \(allocatedBytes) bytes are already allocated")
    }
    var filled = 0
    for old in removed { filled += old.release(to: block, at: filled) }
    return block.pointer
  }

  static func give(_ pointer: UnsafeMutableRawPointer, bytes: Int) {
    let size = blockSize(forBytes: bytes)
    let block = MemoryBlock(pointer: pointer, size: size)
    state.withLock { state in
      state.inUse -= size
      state.free[sizeNumber(ofBlock: size)].append(block)
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
