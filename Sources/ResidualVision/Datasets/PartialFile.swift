import Foundation

/// The file beside a download's target that holds what has come so far, locked against other processes.
///
/// The descriptor is only used by one thread at a time: by the download before and after a transfer, by the transfer's
/// delegate queue during it.
struct PartialFile: Sendable {
  let path: String
  private let target: String
  private let descriptor: Int32

  /// Makes the target's folder and opens or creates the file.
  init(for target: URL) throws(DatasetError) {
    let folder = target.deletingLastPathComponent()
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    } catch {
      throw DatasetError(.inaccessible, "the folder can't be made", path: folder.path, cause: "\(error)")
    }
    self.target = target.path
    path = target.path + ".partial"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Self.systemError("can't be created", path: path) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      Foundation.close(descriptor)
      throw DatasetError(
        .inaccessible, "another process is downloading it; wait for that to end, then try again", path: target.path)
    }
  }

  func byteCount() throws(DatasetError) -> Int {
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= 0 else { throw Self.systemError("can't be read", path: path) }
    return Int(end)
  }

  func truncate() throws(DatasetError) {
    guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else {
      throw Self.systemError("can't be written", path: path)
    }
  }

  func append(_ bytes: [UInt8]) throws(DatasetError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { bytes in
        let rest = bytes[written...]
        return write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw Self.systemError("can't be written", path: path)
      }
      written += count
    }
  }

  /// Gives the file its name: on disk first, so that a crash never leaves the name on half a file.
  func publish() throws(DatasetError) {
    guard fsync(descriptor) == 0 else { throw Self.systemError("can't be written to disk", path: path) }
    guard rename(path, target) == 0 else { throw Self.systemError("can't be renamed to \(target)", path: path) }
  }

  /// Closes the file, and removes it if it holds nothing worth keeping or has got its name already.
  func close(keepingContent: Bool) {
    let isWorthKeeping = keepingContent && lseek(descriptor, 0, SEEK_END) > 0
    if !isWorthKeeping { unlink(path) }
    Foundation.close(descriptor)
  }

  private static func systemError(_ message: String, path: String) -> DatasetError {
    DatasetError(.inaccessible, message, path: path, cause: String(cString: strerror(errno)))
  }
}
