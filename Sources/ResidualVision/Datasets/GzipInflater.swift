import SystemZlib

/// Unpacks gzip (RFC 1952) piece by piece, checking every member's checksum and length.
///
/// It never holds more than one piece of input, and never writes more than the caller has room for.
final class GzipInflater {
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  private let file: ReadableFile
  private var input: [UInt8] = []
  private var consumed = 0
  private var isBetweenMembers = false

  /// Unpacks a file from where it stands.
  init(of file: ReadableFile) throws(DatasetError) {
    self.file = file
    stream.initialize(to: z_stream())
    let gzipOnly = 16 + MAX_WBITS
    let status = inflateInit2_(stream, gzipOnly, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard status == Z_OK else {
      throw DatasetError(.inaccessible, "zlib can't be started", path: file.path, cause: "status \(status)")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  /// Unpacks until the room is full or the file ends; returns the bytes written.
  func inflate(into room: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int {
    var written = 0
    while written < room.count {
      if consumed == input.count {
        input = try file.read(upTo: 1 << 16)
        consumed = 0
        if input.isEmpty {
          if isBetweenMembers { break }
          throw DatasetError(
            .truncated, "the gzip data ends early, as when a download breaks off; delete the file and get it again",
            path: file.path)
        }
      }
      if isBetweenMembers { try beginMember() }
      written += try step(into: UnsafeMutableRawBufferPointer(rebasing: room[written...]))
    }
    return written
  }

  /// A gzip file may be several put after one another; anything else after the end doesn't belong there.
  private func beginMember() throws(DatasetError) {
    guard input[consumed] == 0x1f else {
      throw DatasetError(
        .corrupt, "there are bytes after the end of the gzip data; delete the file and get it again", path: file.path)
    }
    inflateReset(stream)
    isBetweenMembers = false
  }

  private func step(into room: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int {
    let limit = Int(UInt32.max)
    let status = input.withUnsafeMutableBufferPointer { bytes in
      stream.pointee.next_in = bytes.baseAddress.map { $0 + consumed }
      stream.pointee.avail_in = UInt32(min(bytes.count - consumed, limit))
      stream.pointee.next_out = room.assumingMemoryBound(to: UInt8.self).baseAddress
      stream.pointee.avail_out = UInt32(min(room.count, limit))
      return SystemZlib.inflate(stream, Z_NO_FLUSH)
    }
    consumed = input.count - Int(stream.pointee.avail_in)
    switch status {
    case Z_OK, Z_BUF_ERROR:
      break
    case Z_STREAM_END:
      isBetweenMembers = true
    default:
      let reason = stream.pointee.msg.map { String(cString: $0) } ?? "status \(status)"
      throw DatasetError(
        .corrupt, "the gzip data is damaged; delete the file and get it again", path: file.path,
        cause: "zlib: \(reason)")
    }
    return min(room.count, limit) - Int(stream.pointee.avail_out)
  }
}
