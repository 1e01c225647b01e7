/// A file that `torch.save` wrote, opened: what its pickle describes, and where its storages lie.
struct PyTorchContainer {
  /// Where a storage's bytes are.
  enum Source {
    /// As they are in the file, with the checksum a zip file has.
    case range(Range<Int>, crc: UInt32?)
    /// Compressed, by a program that packed the zip file again.
    case deflated(ZipArchive, ZipArchive.Entry)
  }

  let file: InputFile
  let graph: PickleGraph
  let isBigEndian: Bool
  /// The storages by key.
  let sources: [String: Source]

  init(_ file: InputFile, budget: inout ExpansionBudget) throws(StateError) {
    self = try file.bytes(in: 0..<2) == Array("PK".utf8) ? Self(zip: file, &budget) : Self(legacy: file)
  }

  private init(file: InputFile, graph: PickleGraph, isBigEndian: Bool, sources: [String: Source]) {
    (self.file, self.graph, self.isBigEndian, self.sources) = (file, graph, isBigEndian, sources)
  }
}

extension PyTorchContainer {
  /// Opens the zip format, PyTorch's since 1.6: `NAME/data.pkl`, `NAME/data/KEY` and `NAME/byteorder`.
  private init(zip file: InputFile, _ budget: inout ExpansionBudget) throws(StateError) {
    let archive = try ZipArchive(file)
    let pickles = archive.entries.values.filter { $0.name.hasSuffix("/data.pkl") }
    guard let pickle = pickles.first, pickles.count == 1 else {
      throw StateError(
        .wrongFormat, "this zip file holds no data.pkl, or several: it is not what torch.save writes", path: file.path)
    }
    let folder = pickle.name.dropLast("data.pkl".count)
    if archive.entries["\(folder)constants.pkl"] != nil {
      throw StateError(
        .unsupported,
        "this is a TorchScript archive; save its weights in Python: "
          + "torch.save(torch.jit.load(path).state_dict(), \"weights.pth\")", path: file.path)
    }
    var cursor = ByteCursor(try archive.bytes(of: pickle, budget: &budget), of: "the pickle", path: file.path)
    let graph = try Unpickler.read(&cursor, path: file.path)
    let order = try archive.entries["\(folder)byteorder"].map { entry throws(StateError) in
      try archive.bytes(of: entry, budget: &budget)
    }
    var sources: [String: Source] = [:]
    for storage in graph.storages {
      guard let entry = archive.entries["\(folder)data/\(storage.key)"] else {
        throw StateError(.corrupt, "the storage \"\(storage.key)\" is not in the zip file", path: file.path)
      }
      guard entry.size == storage.rootByteCount else {
        throw StateError(
          .corrupt, "the storage \"\(storage.key)\" has \(entry.size) bytes; the pickle says \(storage.rootByteCount)",
          path: file.path)
      }
      sources[storage.key] =
        entry.isDeflated ? .deflated(archive, entry) : .range(entry.dataOffset..<entry.dataEnd, crc: entry.crc)
    }
    self.init(file: file, graph: graph, isBigEndian: order == Array("big".utf8), sources: sources)
  }

  /// Opens the format before 1.6: pickles of a magic number, the protocol, the system and the object; one of the list of
  /// storage keys; then for each storage the number of its elements in 8 bytes, and the elements.
  private init(legacy file: InputFile) throws(StateError) {
    let path = file.path
    // The pickles come first and are small. How far they reach is known only by reading them.
    var limit = min(file.size, 1 << 20)
    while true {
      var cursor = ByteCursor(try file.bytes(in: 0..<limit), of: "the file", path: path)
      do throws(StateError) {
        let (graph, isBigEndian, keys) = try Self.legacyPickles(&cursor, path)
        let sources = try Self.legacySources(keys, graph, isBigEndian, from: cursor.position, file)
        self.init(file: file, graph: graph, isBigEndian: isBigEndian, sources: sources)
        return
      } catch  where error.code == .truncated && limit < file.size {
        limit = min(file.size, limit * 16)
      }
    }
  }

  private static func legacyPickles(
    _ cursor: inout ByteCursor, _ path: String
  ) throws(StateError) -> (PickleGraph, isBigEndian: Bool, keys: [String]) {
    let magic = try Unpickler.read(&cursor, path: path)
    guard case .largeInt([0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]) = magic[magic.root] else {
      throw StateError(
        .wrongFormat, "this pickle is not a file of torch.save: in Python, load it and torch.save its state dict",
        path: path)
    }
    let version = try Unpickler.read(&cursor, path: path)
    guard case .int(1001) = version[version.root] else {
      throw StateError(.unsupported, "the file has a protocol other than 1001", path: path)
    }
    let system = try Unpickler.read(&cursor, path: path)
    let graph = try Unpickler.read(&cursor, path: path)
    let list = try Unpickler.read(&cursor, path: path)
    guard case .dictionary(let facts, _) = system[system.root], case .list(let items) = list[list.root] else {
      throw StateError(.corrupt, "the pickles before the tensors are not those of torch.save", path: path)
    }
    let isBigEndian = stride(from: 0, to: facts.count, by: 2).contains { index in
      if case .string("little_endian") = system[facts[index]], case .bool(false) = system[facts[index + 1]] {
        return true
      }
      return false
    }
    let keys = items.compactMap { if case .string(let key) = list[$0] { key } else { nil } }
    return (graph, isBigEndian, keys)
  }

  private static func legacySources(
    _ keys: [String], _ graph: PickleGraph, _ isBigEndian: Bool, from start: Int, _ file: InputFile
  ) throws(StateError) -> [String: Source] {
    let storages = Dictionary(graph.storages.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    var sources: [String: Source] = [:]
    var position = start
    for key in keys {
      guard let storage = storages[key], sources[key] == nil else {
        throw StateError(.corrupt, "the storage \"\(key)\" is listed twice or not in the pickle", path: file.path)
      }
      var cursor = ByteCursor(
        try file.bytes(in: position..<position + 8), of: "the storage \"\(key)\"", path: file.path)
      let stored: UInt64 = try cursor.integer()
      let count = isBigEndian ? stored.byteSwapped : stored
      position += 8
      guard Int(exactly: count) == storage.rootByteCount / (storage.dtype?.byteCount ?? 1) else {
        throw StateError(
          .corrupt, "the storage \"\(key)\" has \(count) elements, not those of the pickle", path: file.path)
      }
      guard storage.rootByteCount <= file.size - position else {
        throw StateError(
          .truncated, "the file ends within its tensors: copy or download it again", path: file.path)
      }
      sources[key] = .range(position..<position + storage.rootByteCount, crc: nil)
      position += storage.rootByteCount
    }
    if let missing = graph.storages.first(where: { sources[$0.key] == nil }) {
      throw StateError(.corrupt, "the storage \"\(missing.key)\" is not in the file", path: file.path)
    }
    return sources
  }
}
