/// Looks at every object header of a file before libhdf5 does.
///
/// libhdf5 (1.10.8) believes what a header says of element types: an enumeration whose names or values go beyond the
/// header, or whose own size is not that of its integers, has it read and write outside its memory. So the types of
/// tensors and attributes are checked here, byte by byte, where nothing can be read outside an array. Headers that
/// lead elsewhere for a part of themselves (shared messages, attributes in a heap) are refused: what is there is not seen
/// here.
///
/// Layout: HDF5 File Format Specification, "Disk Format: Level 2A - Data Object Headers".
///
/// Sendable because it is used only while libhdf5's lock is held.
final class HDF5HeaderInspector: @unchecked Sendable {
  /// What was found that libhdf5 must not see.
  private var refusal: StateError?

  private let path: String
  /// Where the file's addresses count from.
  private let base: UInt64
  private var indexes: HDF5IndexInspector
  private var headers: Set<UInt64> = []
  private var chunks: [UInt64: Chunk] = [:]

  /// A part of a header that lies elsewhere in the file.
  private struct Chunk {
    let length: UInt64
    let form: Form
  }

  /// How a header's messages are laid out.
  private enum Form: Equatable {
    case version1
    case version2(tracksOrder: Bool)
  }

  init(_ file: InputFile, base: UInt64) {
    path = file.path
    self.base = base
    indexes = HDF5IndexInspector(file, base: base)
  }

  /// Whether a part of another object's header has been announced at that address.
  func isPartOfAnother(_ address: UInt64) -> Bool { chunks[address] != nil }

  /// Whether libhdf5 may have these bytes, which it takes for an object header or a part of one, or else for an index.
  func accepts(_ bytes: [UInt8], isHeader: Bool, at offset: UInt64) -> Bool {
    do throws(StateError) {
      if isHeader {
        try inspect(bytes, at: offset &- base)
      } else {
        try indexes.inspect(bytes, at: offset &- base)
      }
      return true
    } catch {
      refusal = refusal ?? error
      return false
    }
  }

  /// The error to throw for a failure of libhdf5's: what was refused to it, where that is why.
  func explaining(_ failure: StateError) -> StateError {
    guard let refusal else { return failure }
    let subject = failure.key.map { "\"\($0)\"" } ?? "the file"
    return StateError(refusal.code, "\(subject) \(refusal.message)", key: failure.key, path: path)
  }

  private func error(_ code: StateError.Code, _ message: String) -> StateError {
    StateError(code, message, path: path)
  }

  private func cursor(_ bytes: some Sequence<UInt8>) -> ByteCursor {
    ByteCursor(Array(bytes), of: "has a damaged header: a part of it", path: path)
  }

  // MARK: Chunks

  private func inspect(_ bytes: [UInt8], at address: UInt64) throws(StateError) {
    if let chunk = chunks[address] {
      guard bytes.count == Int(exactly: chunk.length) else {
        throw error(.corrupt, "is the header of one object and a part of another's")
      }
      var messages = bytes[...]
      if chunk.form != .version1 {
        guard bytes.starts(with: "OCHK".utf8) else { throw error(.corrupt, "has a header with a part that is none") }
        messages = messages.dropFirst(4).dropLast(4)
      }
      return try inspectMessages(messages, chunk.form)
    }
    if bytes.starts(with: "OHDR".utf8) { return try inspectVersion2(bytes, at: address) }
    if bytes.starts(with: "SMTB".utf8) || bytes.starts(with: "SMLI".utf8) {
      throw error(.refused, "keeps parts of its objects in a table they share")
    }
    // Heaps of links and indexes of chunks come under the same heading, with signatures of their own.
    if bytes.first == 1 { return try inspectVersion1(bytes, at: address) }
  }

  /// libhdf5 first asks for the first 512 bytes, and again where a header is longer: only whole headers are looked at.
  private func inspectVersion1(_ bytes: [UInt8], at address: UInt64) throws(StateError) {
    var cursor = cursor(bytes)
    _ = try cursor.skip(8)
    let size = try cursor.size(UInt32.self)
    headers.insert(address)
    guard bytes.count >= 16, size <= bytes.count - 16 else { return }
    try inspectMessages(bytes[16..<16 + size], .version1)
  }

  private func inspectVersion2(_ bytes: [UInt8], at address: UInt64) throws(StateError) {
    var cursor = cursor(bytes)
    _ = try cursor.skip(5)
    let flags = try cursor.byte()
    if flags & 0x20 != 0 { _ = try cursor.skip(16) }
    if flags & 0x10 != 0 { _ = try cursor.skip(4) }
    let size: UInt64 =
      switch flags & 3 {
      case 0: UInt64(try cursor.byte())
      case 1: UInt64(try cursor.integer(UInt16.self))
      case 2: UInt64(try cursor.integer(UInt32.self))
      default: try cursor.integer(UInt64.self)
      }
    headers.insert(address)
    let start = cursor.position
    guard size <= UInt64(bytes.count - start) else { return }
    try inspectMessages(bytes[start..<start + Int(size)], .version2(tracksOrder: flags & 4 != 0))
  }

  // MARK: Messages

  private func inspectMessages(_ bytes: ArraySlice<UInt8>, _ form: Form) throws(StateError) {
    var cursor = cursor(bytes)
    let headerSize =
      switch form {
      case .version1: 8
      case .version2(let tracksOrder): tracksOrder ? 6 : 4
      }
    while cursor.bytes.count - cursor.position >= headerSize {
      var header = self.cursor(try cursor.take(headerSize))
      let type = form == .version1 ? Int(try header.integer(UInt16.self)) : Int(try header.byte())
      let size = try header.size(UInt16.self)
      let flags = try header.byte()
      let body = Array(try cursor.take(size))
      guard type != 0 else { continue }
      if flags & 2 != 0 {
        throw error(.refused, "borrows \(type == 3 ? "its type" : "a part of its header") from another object")
      }
      switch type {
      case 0x03: try inspectType(body)
      case 0x0C: try inspectAttribute(body)
      case 0x0F: throw error(.refused, "keeps parts of its objects in a table they share")
      case 0x10: try announce(body, form)
      case 0x15: try inspectAttributeInformation(body)
      default: break
      }
    }
  }

  /// A continuation: the rest of the header lies elsewhere.
  private func announce(_ body: [UInt8], _ form: Form) throws(StateError) {
    var cursor = cursor(body)
    let (address, length) = (try cursor.integer(UInt64.self), try cursor.integer(UInt64.self))
    guard !headers.contains(address), chunks[address].map({ $0.length == length && $0.form == form }) ?? true else {
      throw error(.corrupt, "has a header that leads in circles, or into another's")
    }
    chunks[address] = Chunk(length: length, form: form)
  }

  private func inspectAttributeInformation(_ body: [UInt8]) throws(StateError) {
    var cursor = cursor(body)
    _ = try cursor.skip(1)
    if try cursor.byte() & 1 != 0 { _ = try cursor.skip(2) }
    if try cursor.integer(UInt64.self) != .max {
      throw error(.refused, "keeps its attributes in a heap, which is not read: give it fewer than eight")
    }
  }

  private func inspectAttribute(_ body: [UInt8]) throws(StateError) {
    var cursor = cursor(body)
    let version = try cursor.byte()
    let flags = try cursor.byte()
    guard (1...3).contains(version), version == 1 || flags & ~3 == 0 else {
      throw error(.corrupt, "has an attribute of an unknown form")
    }
    if version > 1, flags & 3 != 0 { throw error(.refused, "borrows an attribute's type from another object") }
    let sizes = [
      try cursor.size(UInt16.self), try cursor.size(UInt16.self), try cursor.size(UInt16.self),
    ]
    if version == 3 { _ = try cursor.skip(1) }
    // The first version fills each part up to a multiple of eight bytes.
    func padded(_ size: Int) -> Int { version == 1 ? (size + 7) & ~7 : size }
    guard try cursor.take(padded(sizes[0])).prefix(sizes[0]).contains(0) else {
      throw error(.corrupt, "has an attribute whose name does not end")
    }
    let elementSize = try inspectType(Array(try cursor.take(padded(sizes[1])).prefix(sizes[1])))
    let count = try inspectSpace(Array(try cursor.take(padded(sizes[2])).prefix(sizes[2])))
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: elementSize)
    if overflow || byteCount > body.count - cursor.position {
      throw error(.corrupt, "has an attribute that is larger than its header")
    }
  }

  /// The number of elements of a dataspace.
  private func inspectSpace(_ body: [UInt8]) throws(StateError) -> Int {
    var cursor = cursor(body)
    let version = try cursor.byte()
    let rank = Int(try cursor.byte())
    let flags = try cursor.byte()
    guard version == 1 || version == 2, rank <= 32, flags & ~(version == 1 ? 3 : 1) == 0 else {
      throw error(.corrupt, "has a dataspace of an unknown form")
    }
    let kind = try cursor.byte()
    if version == 1 { _ = try cursor.skip(4) }
    var count = 1
    for _ in 0..<rank {
      let (product, overflow) = count.multipliedReportingOverflow(by: try cursor.size(UInt64.self))
      if overflow { throw error(.corrupt, "has an impossible shape") }
      count = product
    }
    _ = try cursor.skip(8 * rank * (flags.nonzeroBitCount))
    return version == 2 && kind == 2 ? 0 : count
  }

  /// Checks a datatype message; returns the size of an element.
  @discardableResult
  private func inspectType(_ body: [UInt8]) throws(StateError) -> Int {
    var cursor = cursor(body)
    var inspector = HDF5TypeInspector(path: path)
    return try inspector.inspect(&cursor)
  }
}
