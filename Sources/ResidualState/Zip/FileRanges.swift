import Dispatch

/// Ranges of a file read into one block of memory, a megabyte at a time on several threads.
///
/// The caller has checked that the ranges lie in the file; together they are what is allocated.
struct FileRanges {
  let storage: TensorStorage
  /// Where each range begins in the storage, on a cache line's boundary.
  let places: [Int]
  /// The CRC-32 of each range, 0 where none was asked for.
  let checksums: [UInt32]

  private static let pieceSize = 1 << 20

  private struct Piece {
    let range: Int
    let offset: Int
    let place: Int
    let count: Int
  }

  static func read(
    _ ranges: [Range<Int>], of file: InputFile, checksumming: Bool = false
  ) throws(StateError) -> FileRanges {
    var places: [Int] = []
    var pieces: [Piece] = []
    var size = 0
    for (index, range) in ranges.enumerated() {
      places.append(size)
      for start in stride(from: 0, to: range.count, by: pieceSize) {
        pieces.append(
          Piece(
            range: index, offset: range.lowerBound + start, place: size + start,
            count: min(pieceSize, range.count - start)))
      }
      size += (range.count + 63) & ~63
    }
    let block = TensorBlock(byteCount: size)
    let storage = block.storage()
    let results = PieceResults(count: pieces.count)
    let work = pieces
    concurrently(work.count, bytes: size) { index in
      let piece = work[index]
      results[index] = Result { () throws(StateError) in
        let bytes = UnsafeMutableRawBufferPointer(rebasing: block.bytes[piece.place..<piece.place + piece.count])
        try file.read(into: bytes, at: piece.offset)
        return checksumming ? CRC32.checksum(UnsafeRawBufferPointer(bytes)) : 0
      }
    }
    var checksums = [UInt32](repeating: 0, count: ranges.count)
    for (index, piece) in pieces.enumerated() {
      checksums[piece.range] = CRC32.joined(checksums[piece.range], try results[index].get(), count: piece.count)
    }
    return FileRanges(storage: storage, places: places, checksums: checksums)
  }
}

/// Calls `body` with 0 to `count - 1`, on several threads where `bytes` are enough to be worth waking them.
func concurrently(_ count: Int, bytes: Int, _ body: @Sendable (Int) -> Void) {
  if bytes > 1 << 20 {
    DispatchQueue.concurrentPerform(iterations: count, execute: body)
  } else {
    for index in 0..<count { body(index) }
  }
}
