import Foundation

/// An open regular file, read from front to back; closed with its last reference.
final class ReadableFile {
  let path: String
  let byteCount: Int
  private let descriptor: Int32

  init(path: String) throws(DatasetError) {
    // O_NONBLOCK: opening a pipe by mistake must not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      let code: DatasetError.Code = errno == ENOENT ? .missing : .inaccessible
      throw DatasetError(code, "can't be opened", path: path, cause: String(cString: strerror(errno)))
    }
    var information = stat()
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw DatasetError(.wrongFormat, "is not a regular file", path: path)
    }
    self.path = path
    self.descriptor = descriptor
    byteCount = Int(information.st_size)
  }

  deinit { close(descriptor) }

  /// Fills the room or as much of it as the file has left; returns the bytes read.
  func read(into room: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int {
    var filled = 0
    while filled < room.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: room[filled...])
      let count = Foundation.read(descriptor, rest.baseAddress, rest.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw DatasetError(.inaccessible, "can't be read", path: path, cause: String(cString: strerror(errno)))
      }
      filled += count
    }
    return filled
  }

  /// Up to `count` bytes, fewer only at the file's end.
  func read(upTo count: Int) throws(DatasetError) -> [UInt8] {
    try [UInt8](upTo: count, filledBy: read(into:))
  }

  /// Goes back to the file's beginning.
  func rewind() throws(DatasetError) {
    guard lseek(descriptor, 0, SEEK_SET) == 0 else {
      throw DatasetError(.inaccessible, "can't be read", path: path, cause: String(cString: strerror(errno)))
    }
  }
}

extension [UInt8] {
  /// Up to `count` bytes, as many as `fill` says it has written.
  init(
    upTo count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int
  ) throws(DatasetError) {
    var failure: DatasetError?
    self.init(unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(DatasetError) {
        filled = try fill(UnsafeMutableRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}
