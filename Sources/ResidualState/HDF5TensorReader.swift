import Dispatch
import Foundation

/// Reads the bytes of contiguous tensors straight from the file, a megabyte at a time on several threads, and compares
/// checksums while the bytes are still in the cache.
struct HDF5TensorReader {
  private let file: InputFile
  private let datasets: [HDF5Dataset]
  private let verifiesChecksums: Bool
  /// Where each tensor begins in one block of memory.
  private let places: [Int]
  private let totalSize: Int

  init(_ file: InputFile, _ datasets: [HDF5Dataset], _ options: StateDict.ReadOptions) {
    self.file = file
    self.datasets = datasets
    verifiesChecksums = options.verifyingChecksums
    var size = 0
    places = datasets.map { dataset in
      defer { if case .contiguous = dataset.source { size += (dataset.byteCount + 63) & ~63 } }
      return size
    }
    totalSize = size
  }

  /// The tensors, in the order of the datasets.
  ///
  /// They share one block of memory, which lives as long as any of them: large pages make it much faster to fill.
  func read() throws(StateError) -> [TensorData] {
    let pieces = self.pieces
    let block = TensorBlock(byteCount: totalSize)
    let results = PieceResults(count: pieces.count)
    DispatchQueue.concurrentPerform(iterations: pieces.count) { index in
      results[index] = readPiece(pieces[index], into: block.bytes)
    }
    let storage = block.storage()
    var tensors: [TensorData] = []
    var next = 0
    for (index, dataset) in datasets.enumerated() {
      let first = next
      while next < pieces.count, pieces[next].dataset == index { next += 1 }
      var sums: [UInt32] = []
      for piece in first..<next { sums.append(try results[piece].get()) }
      let tensor = tensor(dataset, place: places[index], storage)
      try verify(dataset, tensor, sums)
      tensors.append(tensor)
    }
    return tensors
  }

  /// A part of a tensor that one thread reads.
  private struct Piece {
    let dataset: Int
    let fileOffset: Int
    let place: Int
    let count: Int
  }

  private var pieces: [Piece] {
    var pieces: [Piece] = []
    for (index, dataset) in datasets.enumerated() {
      guard case .contiguous(let offset) = dataset.source else { continue }
      for start in stride(from: 0, to: dataset.byteCount, by: TensorChecksum.pieceSize) {
        let count = min(TensorChecksum.pieceSize, dataset.byteCount - start)
        pieces.append(Piece(dataset: index, fileOffset: offset + start, place: places[index] + start, count: count))
      }
    }
    return pieces
  }

  private func readPiece(_ piece: Piece, into block: UnsafeMutableRawBufferPointer) -> Result<UInt32, StateError> {
    Result { () throws(StateError) in
      let bytes = UnsafeMutableRawBufferPointer(rebasing: block[piece.place..<piece.place + piece.count])
      try file.read(into: bytes, at: piece.fileOffset)
      let dataset = datasets[piece.dataset]
      if dataset.isBigEndian { bytes.swapBytes(elementSize: dataset.dtype.byteCount) }
      return verifiesChecksums && dataset.checksum != nil ? CRC32C.checksum(UnsafeRawBufferPointer(bytes)) : 0
    }
  }

  private func tensor(_ dataset: HDF5Dataset, place: Int, _ storage: TensorStorage) -> TensorData {
    switch dataset.source {
    case .contiguous: return TensorData(dtype: dataset.dtype, shape: dataset.shape, storage: storage, offset: place)
    case .read(let tensor):
      if !dataset.isBigEndian { return tensor }
      return TensorData(dtype: dataset.dtype, shape: dataset.shape) { bytes in
        tensor.withUnsafeBytes { bytes.copyMemory(from: $0) }
        bytes.swapBytes(elementSize: dataset.dtype.byteCount)
      }
    }
  }

  private func verify(_ dataset: HDF5Dataset, _ tensor: TensorData, _ sums: [UInt32]) throws(StateError) {
    guard verifiesChecksums, let expected = dataset.checksum else { return }
    var sums = sums
    if case .read = dataset.source { sums = TensorChecksum.pieces(of: tensor) }
    let name = dataset.name
    let found = TensorChecksum.combine(key: name, dtype: dataset.dtype, shape: dataset.shape, pieces: sums)
    if found != expected {
      throw StateError(
        .checksumMismatch,
        "\"\(name)\" is damaged: its checksum is not the one that was written. Use another copy of the file; if another "
          + "program changed the tensor on purpose, read it with verifyingChecksums: false",
        key: name, path: file.path)
    }
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Turns the byte order of every element round.
  func swapBytes(elementSize: Int) {
    func swap<T: FixedWidthInteger>(_: T.Type) {
      for offset in stride(from: 0, to: count, by: elementSize) {
        storeBytes(of: loadUnaligned(fromByteOffset: offset, as: T.self).byteSwapped, toByteOffset: offset, as: T.self)
      }
    }
    switch elementSize {
    case 2: swap(UInt16.self)
    case 4: swap(UInt32.self)
    case 8: swap(UInt64.self)
    default: break
    }
  }
}
