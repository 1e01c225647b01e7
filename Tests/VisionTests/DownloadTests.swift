import Foundation
import Synchronization
import Testing

@testable import ResidualVision

@Suite("Downloads")
struct DownloadTests {
  let folder: TemporaryFolder
  let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }

  init() throws { folder = try TemporaryFolder() }

  private var target: URL { folder.url.appending(path: "deep/weights.bin") }

  private var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.url.appending(path: "deep").path)) ?? []).sorted()
  }

  private func download(from mirrors: [URL], isResumable: Bool = false, maximum: Int = 1 << 20) -> Download {
    Download(mirrors: mirrors, target: target, maximumByteCount: maximum, isResumable: isResumable, timeout: 10)
  }

  private func run(_ download: Download) throws {
    var hash = SHA256()
    hash.update(content)
    try download.run(byteCount: content.count, sha256: hash.finish())
  }

  private func expectContent(sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(try [UInt8](Data(contentsOf: target)) == content, sourceLocation: sourceLocation)
    #expect(names == ["weights.bin"], sourceLocation: sourceLocation)
  }

  @Test("A good mirror; the folder is made, an older file is replaced, progress is told")
  func good() throws {
    let server = try LoopbackServer(content)
    defer { server.stop() }
    try folder.write([1, 2, 3], to: "deep/weights.bin")
    let heard = ProgressLog()
    var download = download(from: [try server.url()])
    download.progress = { heard.append($0) }
    try run(download)
    try expectContent()
    let encodings = server.requests.flatMap { $0.matches(of: /Accept-Encoding: (.+)/).map { String($0.1) } }
    #expect(encodings == ["identity"])
    #expect(heard.last == Download.Progress(name: "weights.bin", byteCount: 300_000, totalByteCount: 300_000))
  }

  @Test("Mirrors are tried in order until one is good")
  func secondMirror() throws {
    let bad = try LoopbackServer(content, mode: .notFound)
    let broken = try LoopbackServer(content, mode: .hangsUp(after: 1000))
    let good = try LoopbackServer(content)
    defer { for server in [bad, broken, good] { server.stop() } }
    try run(download(from: [bad.url(), broken.url(), good.url()]))
    try expectContent()
    #expect((bad.requests.count, broken.requests.count, good.requests.count) == (1, 1, 1))
  }

  @Test("No mirror is good: each is listed with its reason, and nothing is left behind")
  func allBad() throws {
    let missing = try LoopbackServer(content, mode: .notFound)
    let page = try LoopbackServer(content, mode: .webPage)
    let broken = try LoopbackServer(content, mode: .hangsUp(after: 1000))
    let closed = try LoopbackServer(content)
    closed.stop()
    defer { for server in [missing, page, broken] { server.stop() } }
    let mirrors = try [missing.url("a"), page.url("b"), broken.url("c"), closed.url("d")]
    expectError(
      .downloadFailed, at: target.path, saying: "put the file there by hand", "/a: HTTP 404",
      "/b: is not the published file", "/c: the connection", "/d: the connection failed"
    ) { try run(download(from: mirrors)) }
    #expect(names == [])
  }

  @Test("Other content than was published is not taken, and what was there stays")
  func tampered() throws {
    var other = content
    other[150_000] ^= 1
    let server = try LoopbackServer(other)
    defer { server.stop() }
    try folder.write([1, 2, 3], to: "deep/weights.bin")
    for isResumable in [false, true] {
      expectError(.downloadFailed, at: target.path, saying: "is not the published file", "were published") {
        try run(download(from: [server.url()], isResumable: isResumable))
      }
      #expect(names == ["weights.bin"])
      #expect(try [UInt8](Data(contentsOf: target)) == [1, 2, 3])
    }
  }

  @Test("More bytes than expected are not taken")
  func tooLong() throws {
    let server = try LoopbackServer(content)
    defer { server.stop() }
    expectError(.downloadFailed, at: target.path, saying: "sends more than the 299999 bytes") {
      try run(download(from: [server.url()], maximum: 299_999))
    }
    #expect(names == [])
  }

  @Test("A download that breaks off is kept if it may be, and goes on from there")
  func resumed() throws {
    let server = try LoopbackServer(content, mode: .hangsUp(after: 100_000))
    defer { server.stop() }
    let download = download(from: [try server.url()], isResumable: true)
    expectError(.downloadFailed, at: target.path, saying: "the connection") { try run(download) }
    #expect(names == ["weights.bin.partial"])
    server.change(to: .good)
    try run(download)
    try expectContent()
    let start = try #require(server.requests.last?.firstMatch(of: /Range: bytes=(\d+)-/)?.1)
    #expect(try (1...100_000).contains(#require(Int(start))))
  }

  @Test("A mirror that knows no ranges sends everything")
  func rangesIgnored() throws {
    let server = try LoopbackServer(content, mode: .ignoresRanges)
    defer { server.stop() }
    try folder.write(Array(content.prefix(1000)), to: "deep/weights.bin.partial")
    try run(download(from: [server.url()], isResumable: true))
    try expectContent()
    #expect(server.requests.count == 1)
  }

  @Test("A partial file of other content, or too long a one, is started anew", arguments: [1000, 400_000])
  func wrongPartial(count: Int) throws {
    let server = try LoopbackServer(content)
    defer { server.stop() }
    try folder.write([UInt8](repeating: 9, count: count), to: "deep/weights.bin.partial")
    try run(download(from: [server.url()], isResumable: true))
    try expectContent()
    #expect(server.requests.map { $0.contains("Range:") } == [true, false])
  }

  @Test("Two downloads of the same file don't mix")
  func locked() throws {
    let server = try LoopbackServer(content)
    defer { server.stop() }
    let partial = try PartialFile(for: target)
    expectError(.inaccessible, at: target.path, saying: "another process", "try again") {
      try run(download(from: [server.url()]))
    }
    partial.close(keepingContent: false)
    try run(download(from: [server.url()]))
    try expectContent()
  }

  @Test("A folder that can't be made or written to")
  func unwritable() throws {
    try folder.write([], to: "deep")
    expectError(.inaccessible, at: folder.url.appending(path: "deep").path, saying: "can't be made") {
      try run(download(from: []))
    }
  }
}

private final class ProgressLog: Sendable {
  private let entries = Mutex<[Download.Progress]>([])
  var last: Download.Progress? { entries.withLock { $0.last } }
  func append(_ progress: Download.Progress) { entries.withLock { $0.append(progress) } }
}
