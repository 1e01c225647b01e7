/// The first structure of an HDF5 file, read without libhdf5 as far as it tells the file's format and size.
///
/// Layout: HDF5 File Format Specification, "Disk Format: Level 0A - Format Signature and Superblock".
struct HDF5Superblock {
  /// Where it is, from which the file's addresses count.
  let start: Int
  /// The size the file should have, nil where the superblock is of a form that is left to libhdf5.
  let promisedSize: UInt64?

  private static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Finds the superblock: at the file's start, or after a user's block of 512 bytes, 1024, 2048 and so on.
  static func find(in file: InputFile) throws(StateError) -> HDF5Superblock? {
    var start = 0
    while start < file.size {
      let bytes = try file.bytes(in: start..<start + 64)
      if bytes.starts(with: signature) { return HDF5Superblock(bytes, start: start) }
      start = start == 0 ? 512 : start * 2
    }
    return nil
  }

  private init(_ bytes: [UInt8], start: Int) {
    self.start = start
    let version = bytes.count > 8 ? bytes[8] : 255
    let (sizeOfOffsets, end): (Int, Int) =
      switch version {
      case 0: (13, 40)
      case 1: (13, 44)
      case 2, 3: (9, 28)
      default: (0, 0)
      }
    // A user's block shifts addresses in ways that versions of libhdf5 differ about.
    guard start == 0, end > 0, bytes.count >= end + 8, bytes[sizeOfOffsets] == 8 else {
      promisedSize = nil
      return
    }
    promisedSize = bytes[end..<end + 8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
  }
}
