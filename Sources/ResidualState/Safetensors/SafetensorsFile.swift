import Foundation

/// Reads and writes safetensors files.
enum SafetensorsFile {
  /// Maps the file into memory: a tensor's bytes are read from the disk when they are first looked at.
  ///
  /// The header is read once and checked before anything is mapped. The file may be replaced or removed while its
  /// tensors are in use (every save here replaces), but not shortened in place: the system ends a process that looks
  /// at mapped bytes which are gone. Where that can happen, `isMapped: false` reads everything at once, and so do the
  /// checksums of a file of ours unless `isVerified` is false.
  static func read(
    _ file: InputFile, isMapped: Bool = true, isVerified: Bool = true
  ) throws(StateError) -> StateDict {
    var header = try SafetensorsHeader(file)
    let checksums = try SafetensorsChecksums(takenFrom: &header, path: file.path)
    let storage = try isMapped ? map(file) : FileRanges.read([0..<file.size], of: file).storage
    var stateDict = StateDict()
    stateDict.metadata = header.metadata
    for entry in header.entries {
      let offset = header.dataOffset + entry.range.lowerBound
      let tensor = TensorData(dtype: entry.dtype, shape: entry.shape, storage: storage, offset: offset)
      stateDict[entry.key] = offset.isMultiple(of: entry.dtype.byteCount) ? tensor : tensor.copied()
    }
    if isVerified { try checksums?.verify(stateDict, path: file.path) }
    return stateDict
  }

  /// Writes the file, whole or not at all.
  static func write(_ stateDict: StateDict, to path: String) throws(StateError) {
    var header = try SafetensorsHeader(for: stateDict, path: path)
    header.metadata[SafetensorsChecksums.name] = SafetensorsChecksums(of: stateDict).text
    let prefix = try header.encoded(path: path)
    try AtomicFile.write(to: path) { file throws(StateError) in
      try file.write(prefix, at: 0)
      for (entry, tensor) in zip(header.entries, stateDict) {
        try file.write(tensor.value, at: prefix.count + entry.range.lowerBound)
      }
    }
  }

  private static func map(_ file: InputFile) throws(StateError) -> TensorStorage {
    guard let base = mmap(nil, file.size, PROT_READ, MAP_PRIVATE, file.descriptor, 0), base != MAP_FAILED else {
      throw StateError(.unreadable, "the file cannot be mapped into memory", path: file.path, cause: errnoText())
    }
    let address = UInt(bitPattern: base)
    let size = file.size
    return TensorStorage(UnsafeRawBufferPointer(start: base, count: size)) {
      munmap(UnsafeMutableRawPointer(bitPattern: address), size)
    }
  }
}

extension TensorData {
  /// The same tensor in memory of its own.
  func copied() -> TensorData {
    TensorData(dtype: dtype, shape: shape) { bytes in withUnsafeBytes { bytes.copyMemory(from: $0) } }
  }
}

extension OutputFile {
  func write(_ bytes: [UInt8], at offset: Int) throws(StateError) {
    let result = bytes.withUnsafeBytes { buffer in Result { () throws(StateError) in try write(buffer, at: offset) } }
    try result.get()
  }

  func write(_ tensor: TensorData, at offset: Int) throws(StateError) {
    let result = tensor.withUnsafeBytes { buffer in Result { () throws(StateError) in try write(buffer, at: offset) } }
    try result.get()
  }
}
