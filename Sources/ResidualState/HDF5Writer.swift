import CHDF5
import Dispatch
import Foundation

/// Writes HDF5 files as h5py's `create_dataset` makes them: contiguous, little-endian, no filters, no times.
///
/// libhdf5 writes the structures and reserves each tensor's bytes; the bytes themselves are then written straight to
/// their offsets. A note on each tensor keeps its place and checksum, one on each group its number of tensors: damage can
/// neither change nor drop a tensor unnoticed.
enum HDF5Writer {
  /// Writes the file; `nesting` puts the state dict's tensors in groups by the dots in their keys.
  static func write(
    _ archive: HDF5Archive, to path: String, nesting: Bool = false, calls: FileCalls = .system
  ) throws(StateError) {
    let entries = try entries(of: archive, path)
    if nesting { try checkNesting(archive.stateDict, path) }
    let checksums = checksums(of: entries)
    try AtomicFile.write(to: path, calls: calls) { file throws(StateError) in
      let layout = try HDF5Library.withLock { () throws(StateError) in
        try HDF5Layout.write(archive, entries, checksums, nesting: nesting, to: file)
      }
      try file.resize(to: layout.fileSize)
      for (entry, offset) in zip(entries, layout.offsets) {
        let result = entry.tensor.withUnsafeBytes { bytes in
          Result { () throws(StateError) in try file.write(bytes, at: offset) }
        }
        try result.get()
      }
    }
  }

  /// A tensor on its way into a file.
  struct Entry: Sendable {
    /// The group in the reserved group, empty for the root.
    let group: String
    let key: String
    let tensor: TensorData

    var name: String { group.isEmpty ? key : "\(group)/\(key)" }
  }

  /// The archive's tensors, their names checked.
  private static func entries(of archive: HDF5Archive, _ path: String) throws(StateError) -> [Entry] {
    var entries: [Entry] = []
    func add(_ stateDict: StateDict, _ group: String) throws(StateError) {
      for (key, tensor) in stateDict {
        try checkName(key, path)
        if tensor.shape.count > Int(CHDF5_MAX_RANK) {
          throw StateError(
            .unsupported, "\"\(key)\" has \(tensor.shape.count) axes; HDF5 takes \(CHDF5_MAX_RANK)", key: key,
            path: path)
        }
        entries.append(Entry(group: group, key: key, tensor: tensor))
      }
      for (name, value) in stateDict.metadata {
        let fits = !name.isEmpty && name.utf8.count <= 1000 && value.utf8.count <= 60_000
        if !fits || (name + value).utf8.contains(0) {
          throw StateError(
            .invalidKey,
            "the metadata \"\(name.prefix(100))\" is too long for HDF5 (60,000 bytes) or holds a zero byte",
            path: path)
        }
      }
    }
    try add(archive.stateDict, "")
    for (group, stateDict) in archive.groups {
      try checkName(group, path)
      try add(stateDict, group)
    }
    if entries.count + archive.groups.count + 1 > HDF5Library.entryLimit {
      throw StateError(.unsupported, "more than \(HDF5Library.entryLimit) entries are not written", path: path)
    }
    if !archive.groups.isEmpty, archive.stateDict[HDF5Library.reservedGroup] != nil {
      let name = HDF5Library.reservedGroup
      throw StateError(.invalidKey, "the key \"\(name)\" is the name of the reserved group", key: name, path: path)
    }
    return entries
  }

  private static func checkName(_ name: String, _ path: String) throws(StateError) {
    if name.isEmpty || name == "." || name == ".." || name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") })
    {
      throw StateError(
        .invalidKey, "\"\(name)\" cannot be a name in an HDF5 file: it is empty, all dots, or holds \"/\"", key: name,
        path: path)
    }
  }

  /// Throws when a key is also a group of others, or a part of it can't be a group's name.
  private static func checkNesting(_ stateDict: StateDict, _ path: String) throws(StateError) {
    let keys = Set(stateDict.keys)
    for key in stateDict.keys {
      let parts = key.split(separator: ".", omittingEmptySubsequences: false)
      for part in parts { try checkName(String(part), path) }
      let groups = parts.indices.map { parts[..<$0].joined(separator: ".") }
      if let group = groups.first(where: keys.contains) {
        throw StateError(
          .invalidKey, "\"\(group)\" is a tensor and can't be the group of \"\(key)\" too; write the file flat",
          key: key, path: path)
      }
      if groups.count > HDF5Survey.depthLimit {
        throw StateError(
          .invalidKey, "\"\(key)\" would lie more than \(HDF5Survey.depthLimit) groups deep; write the file flat",
          key: key, path: path)
      }
    }
  }

  private static func checksums(of entries: [Entry]) -> [UInt32] {
    [UInt32](unsafeUninitializedCapacity: entries.count) { buffer, initialized in
      nonisolated(unsafe) let sums = buffer
      DispatchQueue.concurrentPerform(iterations: entries.count) { index in
        let (tensor, name) = (entries[index].tensor, entries[index].name)
        sums.initializeElement(
          at: index,
          to: TensorChecksum.combine(
            key: name, dtype: tensor.dtype, shape: tensor.shape, pieces: TensorChecksum.pieces(of: tensor)))
      }
      initialized = entries.count
    }
  }
}

/// A file's structures, written, and where its tensors' bytes are to go.
///
/// Runs under the library's lock.
struct HDF5Layout: Sendable {
  private(set) var offsets: [Int] = []
  private(set) var fileSize = 0

  static func write(
    _ archive: HDF5Archive, _ entries: [HDF5Writer.Entry], _ checksums: [UInt32], nesting: Bool, to file: OutputFile
  ) throws(StateError) -> HDF5Layout {
    var layout = HDF5Layout()
    var created: OpaquePointer?
    let write: chdf5_write_function = { context, offset, bytes, count in
      guard let context else { return EINVAL }
      let file = Unmanaged<OutputFile>.fromOpaque(context).takeUnretainedValue()
      return file.writeReturningErrno(UnsafeRawBufferPointer(start: bytes, count: count), at: Int(offset))
    }
    let context = Unmanaged.passUnretained(file).toOpaque()
    try HDF5Library.check(
      chdf5_create(file.descriptor, write, context, &created), .writeFailed, "libhdf5 cannot create the file",
      path: file.target)
    var size: UInt64 = 0
    let filled = Result { () throws(StateError) in
      try layout.fill(chdf5_root(created), archive, entries, checksums, nesting, file.target)
    }
    let closed = Result { () throws(StateError) in
      try HDF5Library.check(
        chdf5_close(created, &size), .writeFailed, "the file cannot be written", path: file.target)
    }
    try filled.get()
    try closed.get()
    layout.fileSize = Int(size)
    return layout
  }

  private mutating func fill(
    _ root: chdf5_id, _ archive: HDF5Archive, _ entries: [HDF5Writer.Entry], _ checksums: [UInt32], _ nesting: Bool,
    _ path: String
  ) throws(StateError) {
    try writeMetadata(archive.stateDict.metadata, to: root, path)
    try writeCount(archive.stateDict.count, to: root, path)
    var groups: [String: chdf5_id] = ["": root]
    defer { for (name, id) in groups where !name.isEmpty { chdf5_close_object(id) } }
    if !archive.groups.isEmpty {
      let reserved = try makeGroup(HDF5Library.reservedGroup, in: root, path)
      defer { chdf5_close_object(reserved) }
      try writeMetadata([HDF5Library.formatAttribute: HDF5Library.format], to: reserved, path)
      try writeCount(archive.groups.count, to: reserved, path)
      for (name, stateDict) in archive.groups {
        let group = try makeGroup(name, in: reserved, path)
        groups[name] = group
        try writeMetadata(stateDict.metadata, to: group, path)
        try writeCount(stateDict.count, to: group, path)
      }
    }
    var nested: [String: chdf5_id] = [:]
    defer { for id in nested.values { chdf5_close_object(id) } }
    for (entry, checksum) in zip(entries, checksums) {
      var offset: UInt64 = 0
      var (parent, name) = (groups[entry.group] ?? root, entry.key)
      if nesting, entry.group.isEmpty {
        (parent, name) = try makeParents(of: entry.key, &nested, root, path)
      }
      let shape = entry.tensor.shape.map(UInt64.init)
      try HDF5Library.check(
        chdf5_create_dataset(
          parent, name, entry.tensor.dtype.chdf5, Int32(shape.count), shape,
          HDF5Library.note, UInt32(offsets.count), checksum, &offset), .writeFailed,
        "\"\(entry.name)\" cannot be written",
        key: entry.key, path: path)
      offsets.append(Int(offset))
    }
  }

  /// The group that a key's last part belongs in, made with those above it where they are not there yet.
  private func makeParents(
    of key: String, _ groups: inout [String: chdf5_id], _ root: chdf5_id, _ path: String
  ) throws(StateError) -> (chdf5_id, String) {
    var (parent, prefix) = (root, "")
    let parts = key.split(separator: ".").map(String.init)
    for part in parts.dropLast() {
      prefix += prefix.isEmpty ? part : ".\(part)"
      if groups[prefix] == nil { groups[prefix] = try makeGroup(part, in: parent, path) }
      parent = groups[prefix] ?? parent
    }
    return (parent, parts.last ?? key)
  }

  private func makeGroup(_ name: String, in parent: chdf5_id, _ path: String) throws(StateError) -> chdf5_id {
    var group = chdf5_id()
    try HDF5Library.check(
      chdf5_create_group(parent, name, &group), .writeFailed, "the group \"\(name)\" cannot be written", path: path)
    return group
  }

  /// Writes how many tensors, or in the reserved group how many groups, are to follow.
  private func writeCount(_ count: Int, to id: chdf5_id, _ path: String) throws(StateError) {
    try HDF5Library.check(
      chdf5_write_number(id, HDF5Library.count, UInt32(count)), .writeFailed,
      "the number of tensors cannot be written", path: path)
  }

  /// Writes strings in the order of their names, so that the same metadata gives the same bytes.
  private func writeMetadata(_ metadata: [String: String], to id: chdf5_id, _ path: String) throws(StateError) {
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
      try HDF5Library.check(
        chdf5_write_string(id, name, value, value.utf8.count), .writeFailed,
        "the metadata \"\(name)\" cannot be written", path: path)
    }
  }
}
