import CHDF5

/// Reads HDF5 files: first every structure is looked at and refused or taken, then the tensors' bytes are read.
///
/// libhdf5 is not made for hostile files, and its parsing of a file's structures cannot be made safe from outside. What
/// can be is: headers, trees and heaps are checked before it sees them (``HDF5HeaderInspector``), no link but a hard one is
/// followed, no object is met twice, no other file is opened, no plugin is loaded, and memory is bounded by the file's size.
enum HDF5Reader {
  /// Reads a file's state dict, and the reserved group's state dicts if they are wanted.
  static func read(
    _ file: InputFile, options: StateDict.ReadOptions, includingGroups: Bool
  ) throws(StateError) -> HDF5Archive {
    let survey = try survey(file, options: options, includingGroups: includingGroups)
    let tensors = try HDF5TensorReader(file, survey.datasets, options).read()
    var archive = HDF5Archive(StateDict())
    archive.stateDict.metadata = survey.metadata[""] ?? [:]
    for group in survey.groups {
      archive.groups[group] = StateDict()
      archive.groups[group]?.metadata = survey.metadata[group] ?? [:]
    }
    for (dataset, tensor) in zip(survey.datasets, tensors) {
      if dataset.group.isEmpty {
        archive.stateDict[dataset.key] = tensor
      } else {
        archive.groups[dataset.group]?[dataset.key] = tensor
      }
    }
    return archive
  }

  /// Reads every tensor, those of the reserved group too, without a look at the checksums.
  static func readUnverified(_ file: InputFile) throws(StateError) -> [(dataset: HDF5Dataset, tensor: TensorData)] {
    let options = StateDict.ReadOptions(verifyingChecksums: false)
    let datasets = try survey(file, options: options, includingGroups: true).datasets
    let tensors = try HDF5TensorReader(file, datasets, options).read()
    return zip(datasets, tensors).map { (dataset: $0, tensor: $1) }
  }

  private static func survey(
    _ file: InputFile, options: StateDict.ReadOptions, includingGroups: Bool
  ) throws(StateError) -> HDF5Survey {
    let superblock = try HDF5Superblock.find(in: file)
    if let promised = superblock?.promisedSize, promised > UInt64(file.size) {
      throw StateError(
        .truncated,
        "the file is cut off: it has \(file.size) bytes of \(promised); copy or download it again", path: file.path)
    }
    return try HDF5Library.withLock { () throws(StateError) in
      let inspector = HDF5HeaderInspector(file, base: UInt64(superblock?.start ?? 0))
      do throws(StateError) {
        return try HDF5Survey.make(
          of: file, inspector: inspector, options: options, includingGroups: includingGroups)
      } catch {
        throw inspector.explaining(error)
      }
    }
  }
}

/// A tensor as a file describes it, checked.
struct HDF5Dataset: Sendable {
  /// Where the tensor's bytes are.
  enum Source: Sendable {
    /// In the file, from this offset on, as they are.
    case contiguous(offset: Int)
    /// Already read through libhdf5.
    case read(TensorData)
  }

  /// The group in the reserved group, empty for the root.
  let group: String
  let key: String
  let dtype: DataType
  let shape: [Int]
  let isBigEndian: Bool
  let position: UInt32?
  let checksum: UInt32?
  let source: Source

  var byteCount: Int { shape.reduce(dtype.byteCount, *) }

  /// The name its checksum was made with.
  var name: String { group.isEmpty ? key : "\(group)/\(key)" }
}

/// A walk through a file's groups that describes and checks every dataset.
///
/// Runs under the library's lock.
struct HDF5Survey: Sendable {
  private(set) var datasets: [HDF5Dataset] = []
  private(set) var groups: [String] = []
  /// String attributes of the root, under "", and of the reserved groups.
  private(set) var metadata: [String: [String: String]] = [:]

  private let path: String
  private let fileSize: Int
  private let options: StateDict.ReadOptions
  private let includingGroups: Bool
  private let inspector: HDF5HeaderInspector
  private var visited: Set<UInt64> = []
  private var keys: Set<String> = []

  /// The deepest that groups may lie.
  static let depthLimit = 32

  static func make(
    of file: InputFile, inspector: HDF5HeaderInspector, options: StateDict.ReadOptions, includingGroups: Bool
  ) throws(StateError) -> HDF5Survey {
    var survey = HDF5Survey(file, inspector, options, includingGroups)
    var opened: OpaquePointer?
    let inspect: chdf5_inspect_function = { context, isHeader, offset, bytes, count in
      guard let context else { return -1 }
      let inspector = Unmanaged<HDF5HeaderInspector>.fromOpaque(context).takeUnretainedValue()
      let bytes = Array(UnsafeRawBufferPointer(start: bytes, count: count))
      return inspector.accepts(bytes, isHeader: isHeader, at: offset) ? 0 : -1
    }
    let context = Unmanaged.passUnretained(inspector).toOpaque()
    try HDF5Library.check(
      chdf5_open(file.descriptor, UInt64(file.size), inspect, context, &opened), .corrupt,
      "libhdf5 cannot open the file", path: file.path)
    defer { withExtendedLifetime(inspector) { _ = chdf5_close(opened, nil) } }
    let root = chdf5_root(opened)
    try survey.readMetadata(of: root, as: "")
    try survey.walk(root, group: "", prefix: "", depth: 0)
    try survey.verifyCount(of: root, group: "")
    try survey.refuseOverlaps()
    survey.restoreOrder()
    return survey
  }

  private init(
    _ file: InputFile, _ inspector: HDF5HeaderInspector, _ options: StateDict.ReadOptions, _ includingGroups: Bool
  ) {
    self.inspector = inspector
    path = file.path
    fileSize = file.size
    self.options = options
    self.includingGroups = includingGroups
  }

  private func error(_ code: StateError.Code, _ message: String, key: String? = nil) -> StateError {
    StateError(code, message, key: key, path: path)
  }

  // MARK: Groups and links

  private mutating func walk(_ id: chdf5_id, group: String, prefix: String, depth: Int) throws(StateError) {
    guard depth <= Self.depthLimit else {
      throw error(.refused, "groups lie more than \(Self.depthLimit) deep", key: prefix)
    }
    for link in try links(of: id, prefix: prefix) {
      let key = prefix.isEmpty ? link.name : "\(prefix).\(link.name)"
      try refuseUnlessNew(link, key)
      var object = chdf5_id()
      var kind = CHDF5_OTHER_OBJECT
      try HDF5Library.check(
        chdf5_open_object(id, link.name, &object, &kind), .corrupt, "\"\(key)\" cannot be opened", key: key, path: path)
      defer { chdf5_close_object(object) }
      switch kind {
      case CHDF5_DATASET: try add(object, group: group, key: key)
      case CHDF5_GROUP where key == HDF5Library.reservedGroup && depth == 0 && group.isEmpty:
        if try isReserved(object) {
          if includingGroups { try walkReserved(object) }
        } else {
          try walk(object, group: group, prefix: key, depth: depth + 1)
        }
      case CHDF5_GROUP: try walk(object, group: group, prefix: key, depth: depth + 1)
      default: throw error(.refused, "\"\(key)\" is neither a tensor nor a group of tensors", key: key)
      }
    }
  }

  private mutating func walkReserved(_ id: chdf5_id) throws(StateError) {
    for link in try links(of: id, prefix: HDF5Library.reservedGroup) {
      let key = "\(HDF5Library.reservedGroup)/\(link.name)"
      try refuseUnlessNew(link, key)
      var object = chdf5_id()
      var kind = CHDF5_OTHER_OBJECT
      try HDF5Library.check(
        chdf5_open_object(id, link.name, &object, &kind), .corrupt, "\"\(key)\" cannot be opened", key: key, path: path)
      defer { chdf5_close_object(object) }
      guard kind == CHDF5_GROUP else { throw error(.unsupported, "\"\(key)\" is not a group", key: key) }
      groups.append(link.name)
      try readMetadata(of: object, as: link.name)
      try walk(object, group: link.name, prefix: "", depth: 1)
      try verifyCount(of: object, group: link.name)
    }
    try verifyCount(of: id, groups.count, "groups", name: HDF5Library.reservedGroup)
  }

  private func verifyCount(of id: chdf5_id, group: String) throws(StateError) {
    let found = datasets.count { $0.group == group && $0.checksum != nil }
    try verifyCount(of: id, found, "tensors", name: group)
  }

  /// Throws where our own note on a group counts more than what was found.
  private func verifyCount(of id: chdf5_id, _ found: Int, _ what: String, name: String) throws(StateError) {
    guard options.verifyingChecksums else { return }
    var isCounted = false
    var count: UInt32 = 0
    try HDF5Library.check(
      chdf5_read_number(id, HDF5Library.count, &isCounted, &count), .corrupt,
      "the number of \(what) of \"/\(name)\" cannot be read", path: path)
    if isCounted, Int(count) != found {
      throw error(
        .checksumMismatch,
        "\"/\(name)\" is damaged: \(count) \(what) were written to it and \(found) are there. Use another copy of the "
          + "file; if another program replaced them on purpose, read it with verifyingChecksums: false")
    }
  }

  private func isReserved(_ id: chdf5_id) throws(StateError) -> Bool {
    let found = chdf5_has_attribute(id, HDF5Library.formatAttribute)
    try HDF5Library.check(found, .corrupt, "the group's attributes cannot be read", path: path)
    return found > 0
  }

  private struct Link {
    let name: String
    let kind: chdf5_link_kind
    let address: UInt64
  }

  private func links(of id: chdf5_id, prefix: String) throws(StateError) -> [Link] {
    var list = chdf5_link_list()
    let limit = HDF5Library.entryLimit - visited.count
    try HDF5Library.check(
      chdf5_list_links(id, max(limit, 0), &list), .corrupt, "the links of \"/\(prefix)\" cannot be listed", path: path)
    defer { chdf5_free_links(&list) }
    if list.exceeds_limit {
      throw error(.refused, "the file has more than \(HDF5Library.entryLimit) entries")
    }
    var links: [Link] = []
    for link in UnsafeBufferPointer(start: list.links, count: list.count) {
      guard let name = String(validatingCString: link.name), !name.isEmpty else {
        throw error(.corrupt, "a name in the file is not UTF-8")
      }
      links.append(Link(name: name, kind: link.kind, address: link.address))
    }
    return links
  }

  private mutating func refuseUnlessNew(_ link: Link, _ key: String) throws(StateError) {
    let kind: String? =
      switch link.kind {
      case CHDF5_HARD_LINK: nil
      case CHDF5_SOFT_LINK: "a soft link"
      case CHDF5_EXTERNAL_LINK: "a link into another file"
      default: "a user-defined link"
      }
    if let kind {
      throw error(.refused, "\"\(key)\" is \(kind), which is not followed: write the tensor itself", key: key)
    }
    if inspector.isPartOfAnother(link.address) {
      throw error(.corrupt, "\"\(key)\" is a part of another object's header", key: key)
    }
    guard visited.insert(link.address).inserted else {
      throw error(
        .refused, "\"\(key)\" is a second name of an object in the file, or leads back to its own group", key: key)
    }
  }

  private mutating func readMetadata(of id: chdf5_id, as group: String) throws(StateError) {
    final class Strings { var values: [String: String] = [:] }
    let strings = Strings()
    let result = chdf5_for_each_string(
      id,
      { context, name, value, length in
        guard let context, let name, let value else { return }
        let bytes = UnsafeRawBufferPointer(start: value, count: length)
        Unmanaged<Strings>.fromOpaque(context).takeUnretainedValue().values[String(cString: name)] =
          String(decoding: bytes, as: UTF8.self)
      }, Unmanaged.passUnretained(strings).toOpaque())
    try HDF5Library.check(result, .corrupt, "the attributes of \"/\(group)\" cannot be read", path: path)
    if group.isEmpty, chdf5_has_attribute(id, "keras_version") > 0 {
      throw error(
        .wrongFormat, "this is a Keras file: its names and layouts are not PyTorch's; export the weights from PyTorch")
    }
    metadata[group] = strings.values
  }

  // MARK: Datasets

  private mutating func add(_ id: chdf5_id, group: String, key: String) throws(StateError) {
    guard keys.insert(group + "/" + key).inserted else {
      throw error(.corrupt, "\"\(key)\" is in the file twice, flat and in groups", key: key)
    }
    var description = chdf5_dataset()
    try HDF5Library.check(
      chdf5_describe_dataset(id, HDF5Library.note, options.allowingFilters, &description), .corrupt,
      "\"\(key)\" cannot be described", key: key, path: path)
    try refuseUnsafe(description, key)
    guard let dtype = DataType(description.type) else {
      let type = String(cString: description.type_name)
      throw error(.unsupported, "\"\(key)\" holds elements of a type that no tensor has: \(type)", key: key)
    }
    let shape = try shape(description, key)
    guard let byteCount = dtype.byteCount(ofShape: shape) else {
      throw error(.corrupt, "\"\(key)\" has an impossible shape, \(shape)", key: key)
    }
    try refuseClaim(description, byteCount, key)
    let isDirect = description.layout == CHDF5_CONTIGUOUS && description.filters == 0
    datasets.append(
      HDF5Dataset(
        group: group, key: key, dtype: dtype, shape: shape, isBigEndian: description.is_big_endian,
        position: description.has_note ? description.position : nil,
        checksum: description.has_note ? description.checksum : nil,
        source: isDirect
          // Of an empty tensor nobody has checked where it says it lies.
          ? .contiguous(offset: byteCount == 0 ? 0 : Int(description.offset))
          : .read(try read(id, dtype, shape, key))))
  }

  private func refuseUnsafe(_ d: chdf5_dataset, _ key: String) throws(StateError) {
    if d.layout == CHDF5_VIRTUAL || d.layout == CHDF5_OTHER_LAYOUT {
      throw error(.refused, "\"\(key)\" is a virtual dataset, put together from other files", key: key)
    }
    if d.external_files > 0 { throw error(.refused, "\"\(key)\" keeps its bytes in another file", key: key) }
    if d.type_is_committed { throw error(.refused, "\"\(key)\" borrows its type from another object", key: key) }
    if d.has_null_space { throw error(.refused, "\"\(key)\" has a null dataspace: it is not even a scalar", key: key) }
    if d.has_unusual_filter {
      throw error(.refused, "\"\(key)\" has a filter that is not read: write it without compression", key: key)
    }
    if !options.allowingFilters, d.layout == CHDF5_CHUNKED || d.filters > 0 {
      throw error(.refused, "\"\(key)\" is chunked or compressed: read it with allowingFilters: true", key: key)
    }
  }

  private func shape(_ d: chdf5_dataset, _ key: String) throws(StateError) -> [Int] {
    let sizes = withUnsafeBytes(of: d.shape) { Array($0.bindMemory(to: UInt64.self).prefix(Int(d.rank))) }
    guard sizes.allSatisfy({ $0 <= UInt64(Int.max) }) else {
      throw error(.corrupt, "\"\(key)\" has an impossible shape, \(sizes)", key: key)
    }
    return sizes.map(Int.init)
  }

  /// Refuses a tensor that says it is larger than what the file holds of it.
  private func refuseClaim(_ d: chdf5_dataset, _ byteCount: Int, _ key: String) throws(StateError) {
    let stored = d.stored_bytes
    if d.layout == CHDF5_CHUNKED {
      // Deflate makes at most 1032 bytes of one.
      let (bound, overflow) = min(stored, UInt64(fileSize)).multipliedReportingOverflow(by: 1032)
      if !overflow && UInt64(byteCount) <= bound && d.chunk_bytes <= bound + (1 << 20) { return }
    } else if stored == UInt64(byteCount) {
      if d.layout == CHDF5_COMPACT || byteCount == 0 { return }
      if d.has_offset, d.offset <= UInt64(fileSize), stored <= UInt64(fileSize) - d.offset { return }
    }
    throw error(
      .corrupt, "\"\(key)\" claims \(byteCount) bytes, of which the file of \(fileSize) bytes holds \(stored)", key: key
    )
  }

  private func read(
    _ id: chdf5_id, _ dtype: DataType, _ shape: [Int], _ key: String
  ) throws(StateError) -> TensorData {
    var result: Int32 = 0
    let tensor = TensorData(dtype: dtype, shape: shape) { bytes in
      result = chdf5_read_dataset(id, bytes.baseAddress, bytes.count)
      if result < 0 { _ = bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    }
    try HDF5Library.check(result, .corrupt, "\"\(key)\" cannot be read", key: key, path: path)
    return tensor
  }

  /// Puts the tensors in the order they were written in, where the file is ours and says so.
  private mutating func restoreOrder() {
    guard datasets.allSatisfy({ $0.position != nil }) else { return }
    datasets.sort { ($0.position ?? 0, $0.key) < ($1.position ?? 0, $1.key) }
  }

  /// Refuses tensors that share bytes: so all of them together are no larger than the file.
  private func refuseOverlaps() throws(StateError) {
    var ranges: [(range: Range<Int>, key: String)] = []
    var indirect = 0
    for dataset in datasets {
      switch dataset.source {
      case .contiguous(let offset) where dataset.byteCount > 0:
        ranges.append((offset..<offset + dataset.byteCount, dataset.key))
      case .contiguous: break
      case .read(let tensor): indirect += tensor.byteCount
      }
    }
    ranges.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (a, b) in zip(ranges, ranges.dropFirst()) where a.range.upperBound > b.range.lowerBound {
      throw error(.refused, "\"\(a.key)\" and \"\(b.key)\" share bytes of the file", key: b.key)
    }
  }
}
