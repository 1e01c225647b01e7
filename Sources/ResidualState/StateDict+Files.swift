extension StateDict {
  /// How a file is read.
  public struct ReadOptions: Sendable, Equatable {
    /// Whether chunked and compressed HDF5 datasets are read (deflate, shuffle and Fletcher's checksum only).
    ///
    /// They are refused otherwise: a small file can then claim a thousand times its size.
    public var allowingFilters: Bool
    /// Whether the checksums in our own HDF5 and safetensors files are compared, for which they are read from end to end.
    public var verifyingChecksums: Bool

    /// Whether safetensors files are mapped into memory, so that a tensor is read when it is first looked at (or when
    /// its checksum is compared).
    ///
    /// A mapped file may be replaced or removed while its tensors are in use, but not shortened in place: the system
    /// then ends the process. Files that others write to in place are better read at once.
    public var mapping: Bool

    /// Makes options.
    public init(allowingFilters: Bool = false, verifyingChecksums: Bool = true, mapping: Bool = true) {
      self.mapping = mapping
      self.allowingFilters = allowingFilters
      self.verifyingChecksums = verifyingChecksums
    }
  }

  /// Reads a file of weights; its format is found by its content (see ``FileFormat``).
  ///
  /// Throws a ``StateError`` that names the file, the key where there is one, and what to do. Nothing is read beyond
  /// what the file's real size bounds, and nothing a file says leads to another file.
  public init(contentsOf path: String, options: ReadOptions = .init()) throws(StateError) {
    let file = try InputFile(path)
    switch try FileFormat.detect(file) {
    case .hdf5: self = try HDF5Reader.read(file, options: options, includingGroups: false).stateDict
    case .safetensors:
      self = try SafetensorsFile.read(file, isMapped: options.mapping, isVerified: options.verifyingChecksums)
    case .pytorch: self = try PyTorchFile.readStateDict(file)
    case .npz: self = try NPZFile.read(file)
    }
  }

  /// Writes a file of weights, whole or not at all (see ``AtomicFile``).
  ///
  /// The format is the one given, else the one the path's ending stands for, else HDF5. With `nesting` an HDF5 file has
  /// groups by the dots in the keys, `layer1/0/conv1/weight`; it is read as the flat one is. Throws a ``StateError``.
  public func write(to path: String, format: FileFormat? = nil, nesting: Bool = false) throws(StateError) {
    let format = format ?? FileFormat(endingOf: path) ?? .hdf5
    if nesting && format != .hdf5 {
      throw StateError(.invalidOptions, "only HDF5 has groups to nest the tensors in", path: path)
    }
    switch format {
    case .hdf5: try HDF5Writer.write(HDF5Archive(self), to: path, nesting: nesting)
    case .safetensors: try SafetensorsFile.write(self, to: path)
    case .pytorch: try PyTorchFile.write(PickleValue(self), to: path)
    case .npz: try NPZFile.write(self, to: path)
    }
  }
}
