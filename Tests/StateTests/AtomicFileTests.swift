import Foundation
import Synchronization
import Testing

@testable import ResidualState

@Suite struct AtomicFileTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func mode(_ name: String) throws -> Int? {
    try FileManager.default.attributesOfItem(atPath: folder.file(name))[.posixPermissions] as? Int
  }

  @Test func replacesAndLeavesNothingBehind() throws {
    try AtomicFile.write(Array("old".utf8), to: folder.file("a"))
    try AtomicFile.write(Array("new".utf8), to: folder.file("a"))
    #expect(try folder.bytes(of: "a") == Array("new".utf8))
    #expect(try folder.names == ["a"])
  }

  #if os(Linux)
    @Test func theSpaceOfReplacedFilesIsGivenBack() throws {
      func heldFiles() throws -> Int {
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        let targets = descriptors.compactMap {
          try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
        }
        return targets.count { $0.hasPrefix(folder.file("a")) }
      }
      for byte in 0..<UInt8(20) {
        try AtomicFile.write([byte], to: folder.file("a"))
        #expect(try heldFiles() <= 1)
      }
      var calls = FileCalls.system
      calls.rename = { _, _ in -1 }
      #expect(throws: StateError.self) {
        try AtomicFile.write(to: folder.file("a"), calls: calls) { file throws(StateError) in try file.resize(to: 1) }
      }
      _ = ReplacedFile(folder.file("none"))  // waits for those before it
      #expect(try heldFiles() == 0)
    }
  #endif

  @Test func aNewFileHasTheUmasksModeAndAReplacedOneKeepsIts() throws {
    let plain = try #require(
      FileManager.default.createFile(atPath: folder.file("plain"), contents: nil) ? "plain" : nil)
    try AtomicFile.write([1], to: folder.file("a"))
    #expect(try mode("a") == mode(plain))
    #expect(chmod(folder.file("a"), 0o640) == 0)
    try AtomicFile.write([2], to: folder.file("a"))
    #expect(try mode("a") == 0o640)
  }

  @Test func aSymbolicLinkStays() throws {
    try AtomicFile.write([1], to: folder.file("real"))
    #expect(symlink("real", folder.file("link")) == 0)
    try AtomicFile.write([2], to: folder.file("link"))
    #expect(try folder.bytes(of: "real") == [2])
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("link")) == "real")
  }

  @Test func protectedFilesAndFoldersAreRefused() throws {
    try AtomicFile.write([1], to: folder.file("a"))
    #expect(chmod(folder.file("a"), 0o444) == 0)
    let protected = stateError { try AtomicFile.write([2], to: folder.file("a")) }
    #expect(protected?.message.contains("write-protected") == true)
    #expect(protected?.cause == "Permission denied")
    #expect(try folder.bytes(of: "a") == [1])
    #expect(stateError { try AtomicFile.write([2], to: folder.path) }?.message.contains("this is a folder") == true)
    let nowhere = stateError { try AtomicFile.write([2], to: folder.file("no/such/folder")) }
    #expect(nowhere?.code == .writeFailed)
    #expect(nowhere?.cause == "No such file or directory")
  }

  @Test func temporariesOfTheDeadAreSweptAndOfTheLivingAreNot() throws {
    let dead = try folder.write([0], to: ".a.999-1.residual-tmp")
    let other = try folder.write([0], to: ".b.999-1.residual-tmp")
    try AtomicFile.write(to: folder.file("a")) { file throws(StateError) in
      try file.resize(to: 5)
      try AtomicFile.write([7], to: folder.file("a"))
      #expect(FileManager.default.fileExists(atPath: file.path))
    }
    #expect(!FileManager.default.fileExists(atPath: dead))
    #expect(FileManager.default.fileExists(atPath: other))
    #expect(try folder.bytes(of: "a").count == 5)
    #expect(try folder.names == [".b.999-1.residual-tmp", "a"])
  }

  @Test func longNamesFit() throws {
    let name = String(repeating: "n", count: 250)
    try AtomicFile.write([1], to: folder.file(name))
    #expect(try folder.names == [name])
  }

  /// Every system call of a save fails once, with two errors: the old file stays, whole, and nothing else.
  @Test(arguments: [ENOSPC, EIO])
  func everyFailureLeavesTheOldFile(code: Int32) throws {
    let new: StateDict = ["fc.weight": counting(3, 1000)]
    var failures = 0
    var call = 0
    while true {
      try? FileManager.default.removeItem(atPath: folder.file("a.h5"))
      try smallStateDict.write(to: folder.file("a.h5"))
      let injected = FailingCalls(failing: call, with: code)
      let error = stateError { try HDF5Writer.write(HDF5Archive(new), to: folder.file("a.h5"), calls: injected.calls) }
      if !injected.hasFailed { break }
      let found = try StateDict(contentsOf: folder.file("a.h5"))
      if let error {
        failures += 1
        #expect(error.code == (found == new ? .notDurable : .writeFailed), "call \(call)")
        #expect(error.cause?.contains(String(cString: strerror(code))) == true, "call \(call): \(error)")
      }
      #expect(found == (error == nil || error?.code == .notDurable ? new : smallStateDict), "call \(call)")
      #expect(try folder.names == ["a.h5"], "call \(call)")
      call += 1
    }
    #expect(failures >= 8)
  }

  @Test func aFailedSyncIsNotTriedAgain() throws {
    let syncs = Mutex(0)
    var calls = FileCalls.system
    calls.fsync = { _ in
      syncs.withLock { $0 += 1 }
      errno = EIO
      return -1
    }
    let error = stateError {
      try AtomicFile.write(to: folder.file("a"), calls: calls) { file throws(StateError) in try file.resize(to: 1) }
    }
    #expect(error?.message == "the disk did not take the file")
    #expect(syncs.withLock { $0 } == 1)
    #expect(try folder.names == [])
  }
}

/// The system's calls, of which one fails.
///
/// What cleans up after a failure (closing, unlinking) is done all the same.
private final class FailingCalls: Sendable {
  private let remaining: Mutex<Int>
  private let code: Int32

  init(failing call: Int, with code: Int32) {
    remaining = Mutex(call)
    self.code = code
  }

  var hasFailed: Bool { remaining.withLock { $0 < 0 } }

  private func fails() -> Bool {
    let now = remaining.withLock { remaining in
      remaining -= 1
      return remaining == -1
    }
    if now { errno = code }
    return now
  }

  var calls: FileCalls {
    let system = FileCalls.system
    return FileCalls(
      open: { self.fails() ? -1 : system.open($0, $1, $2) },
      fchmod: { self.fails() ? -1 : system.fchmod($0, $1) },
      pwrite: { self.fails() ? -1 : system.pwrite($0, $1, $2) },
      ftruncate: { self.fails() ? -1 : system.ftruncate($0, $1) },
      startWriteback: system.startWriteback,
      fsync: { self.fails() ? -1 : system.fsync($0) },
      close: {
        let (result, fails) = (system.close($0), self.fails())
        if fails { errno = self.code }
        return fails ? -1 : result
      },
      rename: { self.fails() ? -1 : system.rename($0, $1) },
      unlink: system.unlink)
  }
}
