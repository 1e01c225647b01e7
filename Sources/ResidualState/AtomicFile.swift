import Foundation
import Synchronization

/// Files that are replaced as a whole or not at all.
///
/// **The promise.** When `write` returns, the new file is in place and on disk: after a power cut it is there (on
/// ext4, XFS and other file systems that honour fsync). When it throws, or the process is killed at any moment, the
/// path shows the old file as it was, or nothing where there was none; only with ``StateError/Code/notDurable`` the new
/// file is in place and complete, but not known to survive a power cut. No reader ever sees a part of a file.
///
/// **How.** The bytes go to a temporary file beside the target, of a name of its own. It is synced, closed and renamed
/// over the target, and the folder is synced. A failed sync is never tried again, since the system may have dropped the
/// bytes it could not write: the save has failed. A temporary that a killed process left behind is removed by the next
/// save of the same target: its owner's lock on it is gone.
///
/// **What it costs.** The disk holds both files until a moment after the save, see ``ReplacedFile``. The new file has
/// the mode of the one it replaces, else the umask's, but the writing process's owner; other hard links keep the old
/// file. A symbolic link stays, and the file it names is replaced. A target without any write permission is taken as
/// protected and refused.
///
/// **How it is tested.** `AtomicFileTests` has every system call of a save fail, with ENOSPC and with EIO.
/// `DurabilityTests` kills the program in the middle of 300 saves and has it write to disks that are full or read-only.
/// What a power cut does is the file system's promise for fsync, and is not tested.
public enum AtomicFile {
  /// Replaces the file at `path` by `bytes`; throws a ``StateError``.
  public static func write(_ bytes: some Sequence<UInt8>, to path: String) throws(StateError) {
    let bytes = Array(bytes)
    try write(to: path) { file throws(StateError) in
      let result = bytes.withUnsafeBytes { buffer in
        Result { () throws(StateError) in try file.write(buffer, at: 0) }
      }
      try result.get()
    }
  }

  /// Replaces the file at `path` by what `body` writes to the temporary file.
  static func write(
    to path: String, calls: FileCalls = .system, _ body: (OutputFile) throws(StateError) -> Void
  ) throws(StateError) {
    let target = try Target(path)
    target.sweepStaleTemporaries(calls)
    let replaced = ReplacedFile(target.path)
    defer { replaced.release() }
    let (file, keeper) = try target.makeTemporary(calls)
    // The lock lives as long as any copy of the descriptor: it must outlast the closing until the renaming is done.
    defer { _ = calls.close(keeper) }
    do throws(StateError) {
      try body(file)
      try file.synchronizeAndClose()
      try check(calls.rename(file.path, target.path), "the new file cannot be put in place", path)
    } catch {
      file.closeIfOpen()
      _ = calls.unlink(file.path)
      throw error
    }
    try target.synchronizeFolder(calls)
  }

  /// Throws what `write` would throw at once: no such folder, no permission, a folder or a protected file in the way.
  ///
  /// For work that ends in a file hours later. Nothing is left behind; the disk can still fill up meanwhile.
  public static func checkWritable(_ path: String) throws(StateError) {
    let (file, keeper) = try Target(path).makeTemporary(.system)
    file.closeIfOpen()
    _ = FileCalls.system.close(keeper)
    _ = FileCalls.system.unlink(file.path)
  }

  fileprivate static func check(_ result: Int32, _ message: String, _ path: String) throws(StateError) {
    if result < 0 { throw StateError(.writeFailed, message, path: path, cause: errnoText()) }
  }
}

/// The file to be replaced, links followed.
private struct Target {
  let path: String
  let folder: String
  let name: String
  /// The mode of the file that is there, nil where none is.
  let mode: mode_t?

  private static let counter = Atomic<Int>(0)
  private static let ending = ".residual-tmp"

  init(_ path: String) throws(StateError) {
    let resolved = realpath(path, nil)
    defer { free(resolved) }
    self.path = resolved.map { String(cString: $0) } ?? path
    let parts = self.path.split(separator: "/", omittingEmptySubsequences: false)
    name = String(parts.last ?? "")
    folder = parts.count == 1 ? "." : parts.dropLast().joined(separator: "/") + "/"
    var status = stat()
    guard !name.isEmpty else { throw StateError(.writeFailed, "the path names no file", path: path) }
    guard stat(self.path, &status) == 0 else {
      mode = nil
      return
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: mode = status.st_mode & 0o7777
    case S_IFDIR: throw StateError(.writeFailed, "this is a folder: name a file in it", path: path)
    default: throw StateError(.writeFailed, "this is not a regular file and is not replaced", path: path)
    }
    if status.st_mode & 0o222 == 0 {
      // Root and the folder's owner could replace it all the same: the system's refusal is said, not waited for.
      throw StateError(
        .writeFailed, "the file is write-protected: choose another name or chmod it", path: path,
        cause: errnoText(EACCES))
    }
  }

  /// What temporaries of this target begin with; cut so that the whole fits the 255 bytes of a name.
  private var temporaryPrefix: String { "." + String(decoding: name.utf8.prefix(180), as: UTF8.self) + "." }

  private func inFolder(_ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }

  func makeTemporary(_ calls: FileCalls) throws(StateError) -> (OutputFile, keeper: Int32) {
    while true {
      let unique = "\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
      let temporary = inFolder(temporaryPrefix + unique + Self.ending)
      let descriptor = calls.open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor < 0 && (errno == EEXIST || errno == EINTR) { continue }
      try AtomicFile.check(descriptor, "no temporary file can be made beside it", path)
      // A sweep that saw the new file before it was locked may have removed it: then make another.
      var status = stat()
      _ = flock(descriptor, LOCK_EX)
      if fstat(descriptor, &status) == 0 && status.st_nlink == 0 {
        _ = calls.close(descriptor)
        continue
      }
      do throws(StateError) {
        if let mode { try AtomicFile.check(calls.fchmod(descriptor, mode), "the file's mode cannot be kept", path) }
        let keeper = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        try AtomicFile.check(keeper, "the file cannot be kept open", path)
        return (OutputFile(temporary, target: path, descriptor: descriptor, calls: calls), keeper)
      } catch {
        _ = calls.close(descriptor)
        _ = calls.unlink(temporary)
        throw error
      }
    }
  }

  /// Removes temporaries of this target that nobody holds a lock on.
  ///
  /// What cannot be removed is left: it harms no one.
  func sweepStaleTemporaries(_ calls: FileCalls) {
    guard let directory = opendir(folder) else { return }
    defer { closedir(directory) }
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard name.hasPrefix(temporaryPrefix), name.hasSuffix(Self.ending) else { continue }
      let descriptor = open(inFolder(name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { _ = calls.unlink(inFolder(name)) }
      close(descriptor)
    }
  }

  func synchronizeFolder(_ calls: FileCalls) throws(StateError) {
    let descriptor = calls.open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY, 0)
    let synced = descriptor >= 0 && calls.fsync(descriptor) == 0
    let cause = synced ? nil : errnoText()
    if descriptor >= 0 { _ = calls.close(descriptor) }
    if let cause {
      throw StateError(
        .notDurable, "the file is saved, but its folder could not be synced: a power cut may undo it", path: path,
        cause: cause)
    }
  }
}
