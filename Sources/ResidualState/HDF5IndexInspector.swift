/// Looks at a file's trees and heaps of names before libhdf5 does.
///
/// libhdf5 (1.10.8) goes down a tree as deep as it leads, for ever where a node is its own child, follows a heap's list of
/// free space in circles, and asks for the memory that a heap claims. Here levels must fall by one, a node has one parent,
/// lists end and heaps lie in the file.
///
/// Layout: HDF5 File Format Specification, "Disk Format: Level 1".
struct HDF5IndexInspector {
  private let file: InputFile
  /// Where the file's addresses count from.
  private let base: UInt64
  private var levels: [UInt64: Int] = [:]
  private var parents: [UInt64: UInt64] = [:]

  init(_ file: InputFile, base: UInt64) {
    self.file = file
    self.base = base
  }

  private func damaged(_ what: String) -> StateError {
    StateError(.corrupt, "is damaged: \(what)", path: file.path)
  }

  /// Throws where libhdf5 must not have these bytes.
  mutating func inspect(_ bytes: [UInt8], at address: UInt64) throws(StateError) {
    var cursor = ByteCursor(bytes, of: "is damaged: an index", path: file.path)
    if bytes.starts(with: "TREE".utf8) {
      try inspectTree(&cursor, at: address)
    } else if bytes.starts(with: "BTHD".utf8) {
      try inspectTreeHeader(&cursor)
    } else if bytes.starts(with: "HEAP".utf8) {
      try inspectHeap(&cursor)
    }
  }

  /// A node of a tree of names; those of chunks are read only of files that are trusted.
  private mutating func inspectTree(_ cursor: inout ByteCursor, at address: UInt64) throws(StateError) {
    _ = try cursor.skip(4)
    guard try cursor.byte() == 0 else { return }
    let level = Int(try cursor.byte())
    let count = try cursor.size(UInt16.self)
    _ = try cursor.skip(16)
    guard levels[address] ?? level == level else { throw damaged("a tree of names leads in circles") }
    levels[address] = level
    var children: Set<UInt64> = []
    for _ in 0..<count {
      _ = try cursor.skip(8)
      let child: UInt64 = try cursor.integer()
      guard children.insert(child).inserted, parents[child] ?? address == address,
        level == 0 || levels[child] ?? (level - 1) == level - 1
      else { throw damaged("a tree of names leads in circles") }
      parents[child] = address
      if level > 0 { levels[child] = level - 1 }
    }
  }

  /// A tree of the newer kind: libhdf5 makes those of links with nodes of 512 bytes, of which four levels hold more than
  /// is read.
  private func inspectTreeHeader(_ cursor: inout ByteCursor) throws(StateError) {
    _ = try cursor.skip(5)
    let isOfLinks = [5, 6].contains(try cursor.byte())
    let nodeSize = try cursor.size(UInt32.self)
    _ = try cursor.skip(2)
    let depth = try cursor.size(UInt16.self)
    if isOfLinks, nodeSize > 512 || depth > 4 { throw damaged("a tree of names is deeper than any") }
  }

  private func inspectHeap(_ cursor: inout ByteCursor) throws(StateError) {
    _ = try cursor.skip(8)
    let (size, free, address) = (
      try cursor.integer(UInt64.self), try cursor.integer(UInt64.self), try cursor.integer(UInt64.self)
    )
    let fileSize = UInt64(file.size)
    let (start, overflow) = address.addingReportingOverflow(base)
    guard !overflow, start <= fileSize, size <= fileSize - start else {
      throw damaged("names claim \(size) bytes")
    }
    // 1 ends the list of free space.
    var (next, blocks) = (free, 0)
    while next != 1 {
      blocks += 1
      guard size >= 16, next <= size - 16, blocks <= size / 16 else { throw damaged("free space has no end") }
      let place = Int(start + next)
      var block = ByteCursor(try file.bytes(in: place..<place + 8), of: "is damaged: free space", path: file.path)
      next = try block.integer()
    }
  }
}
