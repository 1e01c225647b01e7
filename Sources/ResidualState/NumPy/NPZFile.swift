/// Reads and writes NumPy's `.npz` files: zip files of one `.npy` for each array.
enum NPZFile {
  /// Reads every array, row-major and little-endian whatever the file has.
  static func read(_ file: InputFile) throws(StateError) -> StateDict {
    let archive = try ZipArchive(file)
    var budget = ExpansionBudget(for: file)
    var arrays: [Array] = []
    for entry in archive.entries.values {
      guard entry.name.hasSuffix(".npy") else {
        throw StateError(
          .wrongFormat, "the zip file holds \"\(entry.name)\", which is no .npy array", key: entry.name, path: file.path
        )
      }
      arrays.append(try Array(entry, in: archive, &budget))
    }
    let stored = arrays.filter { $0.unpacked == nil }
    let ranges = stored.map { $0.entry.dataOffset + $0.header.dataOffset..<$0.entry.dataEnd }
    let read = try FileRanges.read(ranges, of: file, checksumming: true)
    var stateDict = StateDict()
    var next = 0
    for array in arrays {
      if let unpacked = array.unpacked {
        stateDict[array.key] = try array.tensor(unpacked, at: 0, &budget)
        continue
      }
      let crc = CRC32.joined(array.headerChecksum, read.checksums[next], count: ranges[next].count)
      try archive.verify(array.entry, crc)
      stateDict[array.key] = try array.tensor(read.storage, at: read.places[next], &budget)
      next += 1
    }
    return stateDict
  }

  /// Writes every tensor, uncompressed, for `np.load(path, allow_pickle=False)`; metadata have no place in the format.
  static func write(_ stateDict: StateDict, to path: String) throws(StateError) {
    var entries: [ZipWriter.Entry] = []
    for (key, tensor) in stateDict {
      entries.append(
        .init("\(key).npy", try NPYHeader.encoded(tensor, key: key, path: path), tensor: tensor))
    }
    try ZipWriter.write(entries, to: path)
  }

  /// An array whose header is read and checked.
  private struct Array {
    let key: String
    let entry: ZipArchive.Entry
    let header: NPYHeader
    let headerChecksum: UInt32
    /// The array's bytes where the entry is compressed.
    let unpacked: TensorStorage?
    let path: String

    init(_ entry: ZipArchive.Entry, in archive: ZipArchive, _ budget: inout ExpansionBudget) throws(StateError) {
      key = String(entry.name.dropLast(".npy".count))
      path = archive.file.path
      self.entry = entry
      let head: [UInt8]
      if entry.isDeflated {
        head = try archive.bytes(of: entry, budget: &budget)
      } else {
        let prefix = try archive.file.bytes(in: entry.dataOffset..<min(entry.dataEnd, entry.dataOffset + 12))
        let end = min(entry.dataEnd, entry.dataOffset + NPYHeader.byteCount(prefix))
        head = try archive.file.bytes(in: entry.dataOffset..<end)
      }
      header = try NPYHeader(head, key: key, path: path)
      let start = header.dataOffset
      headerChecksum = head[..<start].withUnsafeBytes { CRC32.checksum($0) }
      unpacked =
        entry.isDeflated
        ? TensorStorage(byteCount: head.count - start) { bytes in
          head[start...].withUnsafeBytes { bytes.copyMemory(from: $0) }
        } : nil
      guard let byteCount = header.dtype.byteCount(ofShape: header.shape), byteCount == entry.size - start else {
        throw StateError(
          .corrupt, "\"\(key)\" of shape \(header.shape) does not take the \(entry.size - start) bytes it has",
          key: key,
          path: path)
      }
    }

    /// The tensor whose bytes lie in `storage`; a copy where order of bytes or axes asks for it.
    func tensor(
      _ storage: TensorStorage, at place: Int, _ budget: inout ExpansionBudget
    ) throws(StateError) -> TensorData {
      let isFortran = header.isFortranOrder && header.shape.count > 1
      let tensor = TensorData(dtype: header.dtype, shape: header.shape, storage: storage, offset: place)
      guard isFortran || header.isBigEndian && header.dtype.byteCount > 1 else { return tensor }
      try budget.spend(tensor.byteCount, on: key)
      return TensorData(dtype: header.dtype, shape: header.shape) { output in
        tensor.withUnsafeBytes { bytes in
          if isFortran {
            gather(bytes, into: output)
          } else {
            output.copyMemory(from: bytes)
          }
        }
        if header.isBigEndian { output.swapBytes(elementSize: header.dtype.byteCount) }
      }
    }

    /// Writes column-major elements row-major.
    private func gather(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
      if bytes.isEmpty { return }
      var strides: [Int] = []
      var step = 1
      for size in header.shape {
        strides.append(step)
        step *= size
      }
      StridedLayout(shape: header.shape, strides: strides, elementSize: header.dtype.byteCount)
        .gather(bytes, into: output)
    }
  }
}
