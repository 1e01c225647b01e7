import SystemZlib

extension ZipArchive {
  /// The bytes of an entry, unpacked, their checksum verified; `budget` pays for what inflating makes of it.
  func bytes(of entry: Entry, budget: inout ExpansionBudget) throws(StateError) -> [UInt8] {
    var bytes = try file.bytes(in: entry.dataOffset..<entry.dataEnd)
    if entry.isDeflated {
      try budget.spend(entry.size, on: entry.name)
      bytes = try inflate(bytes, entry)
    }
    try verify(entry, bytes.withUnsafeBytes { CRC32.checksum($0) })
    return bytes
  }

  /// Throws where an entry's checksum is not the one of the bytes that were written.
  func verify(_ entry: Entry, _ crc: UInt32) throws(StateError) {
    if crc != entry.crc {
      throw StateError(
        .checksumMismatch,
        "\"\(entry.name)\" is damaged: its checksum is not the one that was written; copy or download the file again",
        key: entry.name, path: file.path)
    }
  }

  /// Inflates raw deflate data (RFC 1951) to exactly the size the entry claims.
  private func inflate(_ compressed: [UInt8], _ entry: Entry) throws(StateError) -> [UInt8] {
    var stream = z_stream()
    guard inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw StateError(.unreadable, "zlib cannot be started", key: entry.name, path: file.path)
    }
    defer { inflateEnd(&stream) }
    var compressed = compressed
    let bytes = [UInt8](unsafeUninitializedCapacity: entry.size) { output, initialized in
      compressed.withUnsafeMutableBufferPointer { input in
        // zlib counts in 32 bits: both sides are handed over in pieces.
        var (taken, made, status) = (0, 0, Z_OK)
        repeat {
          let room = UInt32(clamping: output.count - made)
          let rest = UInt32(clamping: input.count - taken)
          stream.next_in = input.baseAddress.map { $0 + taken }
          stream.avail_in = rest
          stream.next_out = output.baseAddress.map { $0 + made }
          stream.avail_out = room
          status = SystemZlib.inflate(&stream, Z_NO_FLUSH)
          let progress = (rest - stream.avail_in) + (room - stream.avail_out)
          taken += Int(rest - stream.avail_in)
          made += Int(room - stream.avail_out)
          if progress == 0 { break }
        } while status == Z_OK
        initialized = status == Z_STREAM_END && taken == input.count ? made : 0
      }
    }
    guard bytes.count == entry.size else {
      throw StateError(
        .corrupt, "\"\(entry.name)\" does not unpack to the \(entry.size) bytes it claims", key: entry.name,
        path: file.path)
    }
    return bytes
  }
}
