/// The checksums that our safetensors files keep in their metadata, under a name of its own.
///
/// One ``TensorChecksum`` a tensor, in the header's order, each as eight hexadecimal digits. Other programs take them for
/// words about the file and pass them over.
struct SafetensorsChecksums: Sendable {
  static let name = "residual.crc32c"

  private let sums: [UInt32]

  init(of stateDict: StateDict) {
    let tensors = Array(stateDict)
    sums = [UInt32](unsafeUninitializedCapacity: tensors.count) { buffer, initialized in
      nonisolated(unsafe) let sums = buffer
      concurrently(tensors.count, bytes: stateDict.byteCount) { index in
        let (key, tensor) = tensors[index]
        let pieces = TensorChecksum.pieces(of: tensor)
        sums.initializeElement(
          at: index, to: TensorChecksum.combine(key: key, dtype: tensor.dtype, shape: tensor.shape, pieces: pieces))
      }
      initialized = tensors.count
    }
  }

  /// Takes the checksums out of a file's metadata; nil where there are none.
  init?(takenFrom header: inout SafetensorsHeader, path: String) throws(StateError) {
    guard let text = header.metadata.removeValue(forKey: Self.name) else { return nil }
    let digits = Array(text.utf8)
    sums = stride(from: 0, to: digits.count, by: 8).compactMap { start in
      UInt32(String(decoding: digits[start..<min(start + 8, digits.count)], as: UTF8.self), radix: 16)
    }
    guard sums.count == header.entries.count, digits.count == 8 * sums.count else {
      throw StateError(
        .corrupt, "the checksums are not those of \(header.entries.count) tensors: the file is damaged", path: path)
    }
  }

  /// The checksums as they stand in the metadata.
  var text: String {
    sums.map { sum in
      let digits = String(sum, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
  }

  /// Throws where a tensor is not the one that was written.
  func verify(_ stateDict: StateDict, path: String) throws(StateError) {
    let found = SafetensorsChecksums(of: stateDict)
    for (index, entry) in stateDict.enumerated() where found.sums[index] != sums[index] {
      throw StateError(
        .checksumMismatch,
        "\"\(entry.key)\" is damaged: its checksum is not the one that was written. Use another copy of the file; if "
          + "another program changed the tensor on purpose, read it with verifyingChecksums: false",
        key: entry.key, path: path)
    }
  }
}
