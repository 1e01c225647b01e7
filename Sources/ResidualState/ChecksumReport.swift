import Dispatch

/// What a file's checksums say about its tensors.
///
/// Our HDF5 files keep one for each tensor, PyTorch's zip files and NumPy's one for each entry; safetensors, PyTorch's
/// old files and HDF5 files of others keep none.
public struct ChecksumReport: Sendable, Equatable {
  /// The tensors whose checksum was compared.
  public let checked: Int
  /// Those among them that are not what was written.
  public let failed: [String]
  /// The tensors that could be read but have no checksum.
  public let unchecked: Int
  /// The bytes of all tensors.
  public let byteCount: Int

  /// Reads a whole file, the optimizer's state of a training checkpoint included, and compares every checksum.
  ///
  /// Throws a ``StateError`` when the file can't be read at all; in a zip file that is so from the first wrong checksum on.
  public init(contentsOf path: String) throws(StateError) {
    let file = try InputFile(path)
    guard try FileFormat.detect(file) == .hdf5 else {
      let state = try StateDict(contentsOf: path)
      let hasChecksums = try file.bytes(in: 0..<2) == Array("PK".utf8)
      (checked, failed, unchecked) = (hasChecksums ? state.count : 0, [], hasChecksums ? 0 : state.count)
      byteCount = state.byteCount
      return
    }
    let entries = try HDF5Reader.readUnverified(file)
    let results = PieceResults(count: entries.count)
    DispatchQueue.concurrentPerform(iterations: entries.count) { index in
      let (dataset, tensor) = entries[index]
      let sum = TensorChecksum.combine(
        key: dataset.name, dtype: dataset.dtype, shape: dataset.shape, pieces: TensorChecksum.pieces(of: tensor))
      results[index] = .success(sum)
    }
    var failed: [String] = []
    for (index, entry) in entries.enumerated() {
      guard let expected = entry.dataset.checksum else { continue }
      if try results[index].get() != expected { failed.append(entry.dataset.name) }
    }
    self.failed = failed
    checked = entries.count { $0.dataset.checksum != nil }
    unchecked = entries.count - checked
    byteCount = entries.reduce(0) { $0 + $1.tensor.byteCount }
  }
}
