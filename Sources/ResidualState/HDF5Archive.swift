import OrderedCollections

/// An HDF5 file of a state dict and, in one reserved group, of named state dicts beside it: a training checkpoint.
///
/// The state dict's keys lie flat at the file's root, so whatever reads a state dict reads an archive. The groups lie
/// in the group `residual`, one HDF5 group each, with their own metadata.
///
/// ```swift
/// var archive = HDF5Archive(model.stateDict())
/// archive.groups["optimizer"] = optimizerState
/// try archive.write(to: "run.h5")
/// ```
public struct HDF5Archive: Sendable, Equatable {
  /// The tensors at the root and the file's metadata.
  public var stateDict: StateDict
  /// The state dicts in the reserved group, by name; a name is one word, without `/`.
  public var groups: OrderedDictionary<String, StateDict>

  /// Makes an archive to be written.
  public init(_ stateDict: StateDict, groups: OrderedDictionary<String, StateDict> = [:]) {
    self.stateDict = stateDict
    self.groups = groups
  }

  /// Reads an archive, or any HDF5 state dict, which then has no groups.
  ///
  /// Throws a ``StateError``; see ``StateDict/init(contentsOf:options:)``.
  public init(contentsOf path: String, options: StateDict.ReadOptions = .init()) throws(StateError) {
    let file = try InputFile(path)
    guard try FileFormat.detect(file) == .hdf5 else {
      throw StateError(.wrongFormat, "this is a file of weights, but not an HDF5 file", path: path)
    }
    self = try HDF5Reader.read(file, options: options, includingGroups: true)
  }

  /// Writes the archive, whole or not at all (see ``AtomicFile``), with a checksum for each tensor.
  ///
  /// The same archive always gives the same bytes. Throws a ``StateError``.
  public func write(to path: String) throws(StateError) {
    try HDF5Writer.write(self, to: path)
  }
}
