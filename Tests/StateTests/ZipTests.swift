import Foundation
import Testing

@testable import ResidualState

@Suite struct ZipTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func open(_ bytes: [UInt8]) throws -> ZipArchive { try ZipArchive(InputFile(folder.file(bytes))) }

  private func error(_ entries: [TestZip.Entry], count: UInt16? = nil, gap: Int = 0) -> StateError? {
    stateError { _ = try open(TestZip.make(entries, count: count, gap: gap)) }
  }

  private func contents(_ bytes: [UInt8], _ name: String) throws -> [UInt8] {
    let archive = try open(bytes)
    var budget = ExpansionBudget(for: archive.file)
    return try archive.bytes(of: #require(archive.entries[name]), budget: &budget)
  }

  @Test func readsStoredEntriesAndComments() throws {
    let bytes = TestZip.make([.init("a", [1, 2]), .init("ä/b", [])], comment: Array("PK\u{5}\u{6} a comment".utf8))
    #expect(try Array(open(bytes).entries.keys) == ["a", "ä/b"])
    #expect(try contents(bytes, "a") == [1, 2])
    #expect(try contents(bytes, "ä/b").isEmpty)
  }

  @Test func inflates() throws {
    // Raw deflate of one stored block (RFC 1951, 3.2.4): last, length 3, its complement.
    var entry = TestZip.Entry("a", [1, 3, 0, 0xFC, 0xFF, 7, 8, 9])
    (entry.method, entry.size, entry.crc) = (8, 3, TestZip.crc([7, 8, 9]))
    #expect(try contents(TestZip.make([entry]), "a") == [7, 8, 9])
    for size: UInt32 in [0, 2, 4, 1000] {
      entry.size = size
      #expect(stateError { _ = try contents(TestZip.make([entry]), "a") } != nil, "\(size)")
    }
    entry.size = 3
    entry.data[0] = 7  // no such kind of block
    #expect(stateError { _ = try contents(TestZip.make([entry]), "a") }?.code == .corrupt)
  }

  @Test func refusesBombsBeforeUnpacking() throws {
    var entry = TestZip.Entry("bomb", [3, 0])
    (entry.method, entry.size) = (8, 0xFFFF_FFF0)
    #expect(stateError { _ = try contents(TestZip.make([entry]), "bomb") }?.code == .refused)
  }

  @Test func manySmallBombsAreOne() throws {
    let archive = try open(TestZip.make([.init("a", [])]))
    var budget = ExpansionBudget(for: archive.file)
    let error = stateError { for index in 0..<100 { try budget.spend(1 << 20, on: "\(index)") } }
    #expect(error?.code == .refused)
    #expect(error?.key == "16")
  }

  @Test func sumsEveryLength() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 3) }
    for count in 0...bytes.count {
      let sum = bytes[..<count].withUnsafeBytes { CRC32.checksum($0) }
      #expect(sum == TestZip.crc(Array(bytes[..<count])), "\(count)")
      let rest = bytes[count...].withUnsafeBytes { CRC32.checksum($0) }
      #expect(CRC32.joined(sum, rest, count: bytes.count - count) == TestZip.crc(bytes), "\(count)")
    }
  }

  @Test func verifiesChecksums() throws {
    var entry = TestZip.Entry("a", [1, 2])
    entry.crc = TestZip.crc([1, 3])
    #expect(stateError { _ = try contents(TestZip.make([entry]), "a") }?.code == .checksumMismatch)
  }

  @Test func refusesContradictions() {
    let a = TestZip.Entry("a", [1, 2, 3, 4])
    func altered(_ change: (inout TestZip.Entry) -> Void) -> StateError.Code? {
      var entry = a
      change(&entry)
      return error([entry])?.code
    }
    #expect(error([a, a])?.code == .corrupt)  // a name twice
    #expect(
      error([
        a,
        {
          var b = a; b.name = "b"; b.localName = "b"; b.headerOffset = 0; return b
        }(),
      ])?.code == .corrupt)
    #expect(altered { $0.localName = "b" } == .corrupt)
    #expect(altered { $0.localName = "ab" } == .corrupt)
    #expect(altered { $0.localSize = 3 } == .corrupt)
    #expect(altered { $0.size = 5 } == .corrupt)  // stored, with two sizes
    #expect(altered { $0.storedSize = 0x7FFF_FFFF } == .truncated)
    #expect(altered { $0.storedSize = .max } == .truncated)
    #expect(altered { $0.headerOffset = 1 } == .corrupt)
    #expect(altered { $0.headerOffset = .max } == .truncated)
    #expect(altered { $0.flags = 1 } == .unsupported)  // encrypted
    #expect(altered { $0.method = 12 } == .unsupported)  // bzip2
    #expect(error([a], count: 0)?.code == .corrupt)
    #expect(error([a], count: 2)?.code == .corrupt)
    #expect(error([a], count: 0xFFFF)?.code == .corrupt)
    #expect(error([a], gap: 1)?.code == .corrupt)
  }

  @Test func overlappingEntriesAreNamed() {
    // The second entry's header and bytes lie within the first one's bytes.
    let inner = TestZip.make([.init("b", [9])])
    var outer = TestZip.Entry("a", Array(inner[..<32]))
    var b = TestZip.Entry("b", [9])
    outer.name = "a"
    b.headerOffset = 31
    let found = error([outer, b])
    #expect(found?.code == .corrupt)
    #expect(found?.message.contains("overlap") == true)
  }

  @Test func refusesBytesBehindTheEnd() {
    let bytes = TestZip.make([.init("a", [1])])
    #expect(stateError { _ = try open(bytes + [0]) }?.code == .truncated)
    #expect(stateError { _ = try open([0] + bytes) }?.code == .corrupt)
  }

  @Test func writesZip64ForManyEntries() throws {
    let path = "\(folder.path)/many.zip"
    let names = (0..<70_000).map { "e\($0)" }
    try ZipWriter.write(names.map { ZipWriter.Entry($0) }, to: path)
    #expect(try Array(ZipArchive(InputFile(path)).entries.keys) == names)
  }

  @Test func writesAlignedEntries() throws {
    let path = "\(folder.path)/aligned.zip"
    let tensor = TensorData([1, 2, 3] as [Float], shape: [3])
    try ZipWriter.write(
      [.init("a", [1]), .init("long name", [2, 3], tensor: tensor), .init("c", tensor: tensor)], to: path)
    let archive = try ZipArchive(InputFile(path))
    #expect(archive.entries.values.allSatisfy { $0.dataOffset.isMultiple(of: 64) })
    var budget = ExpansionBudget(for: archive.file)
    let long = try archive.bytes(of: #require(archive.entries["long name"]), budget: &budget)
    #expect(long == [2, 3, 0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64])
    #expect(archive.entries["long name"]?.crc == TestZip.crc(long))
  }

  @Test func refusesNamesThatDoNotFit() {
    for name in [String(repeating: "k", count: 1001), "a\0b"] {
      #expect(stateError { try ZipWriter.write([.init(name)], to: "\(folder.path)/x.zip") }?.code == .invalidKey)
    }
  }
}
