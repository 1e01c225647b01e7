import Foundation

/// A regular file opened once for reading: what is checked is what is read, whatever happens to its name meanwhile.
final class InputFile: Sendable {
  let path: String
  let descriptor: Int32
  let size: Int

  /// Opens the file; throws `notFound`, `unreadable` or `wrongFormat` with what to do about it.
  init(_ path: String) throws(StateError) {
    self.path = path
    descriptor = Self.open(path)
    if descriptor < 0 {
      let (code, cause) = (errno, errnoText())
      switch code {
      case ENOENT: throw StateError(.notFound, "there is no such file", path: path, cause: cause)
      case EACCES, EPERM: throw StateError(.unreadable, "no permission to read the file", path: path, cause: cause)
      default: throw StateError(.unreadable, "the file cannot be opened", path: path, cause: cause)
      }
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let cause = errnoText()
      close(descriptor)
      throw StateError(.unreadable, "the file cannot be opened", path: path, cause: cause)
    }
    size = Int(status.st_size)
    let problem: String? =
      switch status.st_mode & S_IFMT {
      case S_IFREG: size == 0 ? "the file is empty: a save or a download did not finish" : nil
      case S_IFDIR: "this is a folder, not a file: name the file in it"
      default: "this is not a regular file"
      }
    if let problem {
      close(descriptor)
      throw StateError(.wrongFormat, problem, path: path)
    }
  }

  deinit { close(descriptor) }

  /// Fills `buffer` with the bytes from `offset` on; throws `truncated` where the file ends too early.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StateError) {
    var done = 0
    while done < buffer.count, let base = buffer.baseAddress {
      let got = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
      if got < 0 && errno == EINTR { continue }
      if got < 0 { throw StateError(.unreadable, "the file cannot be read", path: path, cause: errnoText()) }
      if got == 0 {
        throw StateError(.truncated, "the file ends at byte \(offset + done): it has shrunk while read", path: path)
      }
      done += got
    }
  }

  /// The bytes in `range`, cut at the file's end.
  func bytes(in range: Range<Int>) throws(StateError) -> [UInt8] {
    let wanted = range.clamped(to: 0..<size)
    var bytes = [UInt8](repeating: 0, count: wanted.count)
    let result = bytes.withUnsafeMutableBytes { buffer in
      Result { () throws(StateError) in try read(into: buffer, at: wanted.lowerBound) }
    }
    try result.get()
    return bytes
  }

  /// O_NONBLOCK keeps a pipe without a writer from stopping us here; it means nothing to a regular file.
  private static func open(_ path: String) -> Int32 {
    while true {
      let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      if descriptor >= 0 || errno != EINTR { return descriptor }
    }
  }
}

/// What `errno` says in words.
func errnoText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }
