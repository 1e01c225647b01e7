import Foundation
import Testing

@testable import ResidualVision

@Suite("The catalogue of checkpoints")
struct CatalogueTests {
  let folder: TemporaryFolder
  let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 9) }

  init() throws { folder = try TemporaryFolder() }

  private var target: URL { folder.url.appending(path: "weights.h5") }

  private var digest: String {
    var hash = SHA256()
    hash.update(content)
    return hash.finish()
  }

  /// A catalogue of one checkpoint, with other fields where they are given.
  private func catalogue(_ source: URL?, _ changes: [String: Any?] = [:]) throws -> Catalogue {
    var entry: [String: Any] = [
      "name": "small", "model": "small-cnn", "input_channels": 1, "classes": 10, "file": "weights.h5",
      "sha256": digest, "size": content.count, "metrics": ["accuracy": 0.5], "origin": ["by hand"],
    ]
    entry["source"] = source?.absoluteString
    for (key, value) in changes { entry[key] = value }
    let bytes = try JSONSerialization.data(withJSONObject: ["checkpoints": [entry]])
    return try Catalogue(contentsOf: folder.write([UInt8](bytes), to: "catalogue.json"))
  }

  private func fetch(_ catalogue: Catalogue, _ name: String = "small") throws -> Bool {
    try catalogue.entry(named: name).fetch(to: target, timeout: 10)
  }

  private func expectFetched(sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(try [UInt8](Data(contentsOf: target)) == content, sourceLocation: sourceLocation)
    #expect(try folder.fileNames == ["catalogue.json", "weights.h5"], sourceLocation: sourceLocation)
  }

  @Test("A file is downloaded and checked, by its whole hash or by the prefix and size that were published")
  func good() throws {
    let server = try LoopbackServer(content)
    defer { server.stop() }
    let prefixOnly: [String: Any?] = [
      "sha256": nil, "size": nil, "sha256_prefix": String(digest.prefix(8)), "mebibytes": 0.286,
    ]
    for changes in [[:], prefixOnly] {
      #expect(try fetch(catalogue(server.url(), changes)))
      try expectFetched()
      // Once more: it is there, and nothing is asked of the server.
      let requests = server.requests.count
      #expect(try !fetch(catalogue(server.url(), changes)))
      #expect(server.requests.count == requests)
      try FileManager.default.removeItem(at: target)
    }
  }

  @Test("A download that breaks off goes on where it stopped")
  func resumed() throws {
    let server = try LoopbackServer(content, mode: .hangsUp(after: 100_000))
    defer { server.stop() }
    let catalogue = try catalogue(server.url())
    expectError(.downloadFailed, at: target.path, saying: "the connection") { _ = try fetch(catalogue) }
    #expect(try folder.fileNames == ["catalogue.json", "weights.h5.partial"])
    server.change(to: .good)
    #expect(try fetch(catalogue))
    try expectFetched()
    #expect(server.requests.last?.contains("Range: bytes=") == true)
  }

  @Test("A file that is not the catalogue's never gets its name", arguments: ["sha256", "size", "prefix", "mebibytes"])
  func tampered(what: String) throws {
    var other = content
    if what == "size" { other.removeLast() } else { other[150_000] ^= 1 }
    let server = try LoopbackServer(what == "mebibytes" ? content : other)
    defer { server.stop() }
    let changes: [String: Any?] =
      switch what {
      case "prefix": ["sha256": nil, "sha256_prefix": String(digest.prefix(8))]
      case "mebibytes": ["size": nil, "mebibytes": 0.288]
      default: [:]
      }
    let catalogue = try catalogue(server.url(), changes)
    expectError(.downloadFailed, at: target.path, saying: "is not \"small\"", "the catalogue says") {
      _ = try fetch(catalogue)
    }
    #expect(try folder.fileNames == ["catalogue.json"])
  }

  @Test("HTTP 404 and a web page instead of the file", arguments: [true, false])
  func notFound(isMissing: Bool) throws {
    let server = try LoopbackServer(content, mode: isMissing ? .notFound : .webPage)
    defer { server.stop() }
    let catalogue = try catalogue(server.url())
    expectError(.downloadFailed, at: target.path, saying: isMissing ? "HTTP 404" : "is not \"small\"") {
      _ = try fetch(catalogue)
    }
    #expect(try folder.fileNames == ["catalogue.json"])
  }

  @Test("An unknown name is answered with the one that may be meant")
  func unknownName() throws {
    let catalogue = try catalogue(nil)
    expectError(.invalidRequest, at: nil, saying: "\"smal\"", "Did you mean \"small\"?", "fetch --list") {
      _ = try fetch(catalogue, "smal")
    }
  }

  @Test("Another file of the target's name stays")
  func occupied() throws {
    try folder.write([1, 2, 3], to: "weights.h5")
    let catalogue = try catalogue(URL(string: "http://127.0.0.1:9/file"))
    expectError(.checksumMismatch, at: target.path, saying: "another file is there already", "move it away") {
      _ = try fetch(catalogue)
    }
    #expect(try Data(contentsOf: target) == Data([1, 2, 3]))
  }

  @Test("A file without an address can only be there already")
  func withoutSource() throws {
    let catalogue = try catalogue(nil)
    expectError(.missing, at: target.path, saying: "no address") { _ = try fetch(catalogue) }
    try folder.write(content, to: "weights.h5")
    #expect(try !fetch(catalogue))
  }

  static let mistakes: [(field: String, value: String?, words: String)] = [
    ("sha256", "abc", "sha256"), ("sha256", nil, "sha256"), ("size", nil, "size"), ("file", "../x", "plain name"),
    ("source", "ftp://host/x", "web address"), ("model", nil, "no catalogue"),
  ]

  @Test("An entry that could not be checked makes the catalogue unusable", arguments: mistakes)
  func unusableEntry(field: String, value: String?, words: String) throws {
    expectError(.wrongFormat, at: folder.url.appending(path: "catalogue.json").path, saying: words) {
      _ = try catalogue(nil, [field: value])
    }
  }

  @Test("The catalogue of this project: every entry is of a model there is, and the committed file is the one it names")
  func ours() throws {
    let checkpoints = URL(filePath: #filePath).appending(path: "../../../checkpoints").standardizedFileURL
    let catalogue = try Catalogue(contentsOf: checkpoints.appending(path: "catalogue.json").path)
    #expect(Set(catalogue.checkpoints.map(\.name)).count == catalogue.checkpoints.count)
    for entry in catalogue.checkpoints {
      _ = try ModelName(named: entry.model)
      #expect(!entry.metrics.isEmpty && !entry.origin.isEmpty, "\(entry.name)")
      if let prefix = entry.sha256Prefix { #expect(entry.file.contains(prefix), "\(entry.name)") }
      // What has no address is committed.
      if entry.source == nil { try entry.check(checkpoints.appending(path: entry.file).path) }
    }
    #expect(catalogue.checkpoints.contains { $0.name == "cifar-resnet20-mnist" && $0.source == nil })
  }
}
