extension PyTorchContainer {
  /// The tensors of those indices, row-major: views of what is read, copies where strides or byte order ask for it.
  ///
  /// Each storage is read once, and only where one of the tensors shows it.
  func tensors(_ indices: [Int], budget: inout ExpansionBudget) throws(StateError) -> [TensorData] {
    let storages = try read(Set(indices.map { graph.storages[graph.tensors[$0].storage].key }), &budget)
    var tensors: [TensorData] = []
    for index in indices {
      let tensor = graph.tensors[index]
      let storage = graph.storages[tensor.storage]
      guard let (bytes, place) = storages[storage.key] else { continue }
      let byteCount = tensor.dtype.byteCount(ofShape: tensor.shape) ?? 0
      if byteCount == 0 {
        tensors.append(TensorData(dtype: tensor.dtype, shape: tensor.shape) { _ in })
        continue
      }
      let offset = place + storage.byteOffset + tensor.offset * tensor.dtype.byteCount
      if tensor.isContiguous && !isBigEndian && offset.isMultiple(of: tensor.dtype.byteCount) {
        tensors.append(TensorData(dtype: tensor.dtype, shape: tensor.shape, storage: bytes, offset: offset))
      } else {
        try budget.spend(byteCount, on: storage.key)
        tensors.append(
          TensorData(dtype: tensor.dtype, shape: tensor.shape) { output in
            StridedLayout(shape: tensor.shape, strides: tensor.strides, elementSize: tensor.dtype.byteCount)
              .gather(UnsafeRawBufferPointer(rebasing: bytes.bytes[offset...]), into: output)
            if isBigEndian { output.swapBytes(elementSize: tensor.dtype.byteCount) }
          })
      }
    }
    return tensors
  }

  /// The bytes of storages, and where each begins in them.
  private func read(
    _ keys: Set<String>, _ budget: inout ExpansionBudget
  ) throws(StateError) -> [String: (TensorStorage, Int)] {
    var storages: [String: (TensorStorage, Int)] = [:]
    var ranges: [(key: String, range: Range<Int>, crc: UInt32?)] = []
    for (key, source) in sources where keys.contains(key) {
      switch source {
      case .range(let range, let crc): ranges.append((key, range, crc))
      case .deflated(let archive, let entry):
        let bytes = try archive.bytes(of: entry, budget: &budget)
        storages[key] = (
          TensorStorage(byteCount: bytes.count) { storage in bytes.withUnsafeBytes { storage.copyMemory(from: $0) } }, 0
        )
      }
    }
    ranges.sort { $0.range.lowerBound < $1.range.lowerBound }
    let read = try FileRanges.read(ranges.map(\.range), of: file, checksumming: ranges.contains { $0.crc != nil })
    for (index, entry) in ranges.enumerated() {
      if let crc = entry.crc, crc != read.checksums[index] {
        throw StateError(
          .checksumMismatch,
          "the storage \"\(entry.key)\" is damaged: its checksum is not the one that was written; copy or download the "
            + "file again", path: file.path)
      }
      storages[entry.key] = (read.storage, read.places[index])
    }
    return storages
  }
}
