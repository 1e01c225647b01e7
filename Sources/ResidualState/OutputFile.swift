import CHDF5
import Foundation

/// The system calls of a save, so that tests can let each of them fail.
struct FileCalls: Sendable {
  var open: @Sendable (_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32
  var fchmod: @Sendable (_ descriptor: Int32, _ mode: mode_t) -> Int32
  var pwrite: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: off_t) -> Int
  var ftruncate: @Sendable (_ descriptor: Int32, _ size: off_t) -> Int32
  /// Has the disk begin to take a range; whether it did shows in `fsync`.
  var startWriteback: @Sendable (_ descriptor: Int32, _ offset: off_t, _ count: off_t) -> Void
  var fsync: @Sendable (_ descriptor: Int32) -> Int32
  var close: @Sendable (_ descriptor: Int32) -> Int32
  var rename: @Sendable (_ from: String, _ to: String) -> Int32
  var unlink: @Sendable (_ path: String) -> Int32

  /// The real ones.
  static let system = FileCalls(
    open: { Foundation.open($0, $1, $2) },
    fchmod: { Foundation.fchmod($0, $1) },
    pwrite: { Foundation.pwrite($0, $1.baseAddress, $1.count, $2) },
    ftruncate: { Foundation.ftruncate($0, $1) },
    startWriteback: { residual_start_writeback($0, Int64($1), Int64($2)) },
    fsync: { Foundation.fsync($0) },
    close: { Foundation.close($0) },
    rename: { Foundation.rename($0, $1) },
    unlink: { Foundation.unlink($0) })
}

/// A temporary file on its way to become the target.
final class OutputFile {
  let path: String
  let target: String
  private(set) var descriptor: Int32
  private let calls: FileCalls
  /// What the disk was not yet asked to take.
  private var waiting = 0..<0

  /// How much waits before the disk is asked, so that it gets large pieces.
  private static let writebackSize = 8 << 20

  init(_ path: String, target: String, descriptor: Int32, calls: FileCalls) {
    self.path = path
    self.target = target
    self.descriptor = descriptor
    self.calls = calls
  }

  /// Writes all of `bytes` at `offset`, and has the disk begin to take what was written in the meantime: of a large file
  /// little is left to do when it is synced.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StateError) {
    let code = writeReturningErrno(bytes, at: offset)
    if code != 0 {
      throw StateError(.writeFailed, "the file cannot be written", path: target, cause: errnoText(code))
    }
    let start = waiting.isEmpty ? offset : min(waiting.lowerBound, offset)
    waiting = start..<max(waiting.upperBound, offset + bytes.count)
    guard waiting.count >= Self.writebackSize else { return }
    calls.startWriteback(descriptor, off_t(start), off_t(waiting.count))
    waiting = 0..<0
  }

  /// Writes all of `bytes` at `offset`; returns 0 or errno.
  func writeReturningErrno(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int32 {
    var done = 0
    while done < bytes.count {
      let count = calls.pwrite(descriptor, UnsafeRawBufferPointer(rebasing: bytes[done...]), off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      if count < 0 { return errno }
      if count == 0 { return ENOSPC }
      done += count
    }
    return 0
  }

  /// Gives the file its full size.
  func resize(to size: Int) throws(StateError) {
    if calls.ftruncate(descriptor, off_t(size)) < 0 {
      throw StateError(.writeFailed, "the file cannot be given its size", path: target, cause: errnoText())
    }
  }

  /// Has the disk take the bytes, once, and closes the file.
  func synchronizeAndClose() throws(StateError) {
    if calls.fsync(descriptor) < 0 {
      throw StateError(.writeFailed, "the disk did not take the file", path: target, cause: errnoText())
    }
    // Whatever close says, the descriptor is gone.
    let open = descriptor
    descriptor = -1
    if calls.close(open) < 0 {
      throw StateError(.writeFailed, "the file cannot be closed", path: target, cause: errnoText())
    }
  }

  /// Closes the file after a failure.
  func closeIfOpen() {
    if descriptor >= 0 { _ = calls.close(descriptor) }
    descriptor = -1
  }
}
