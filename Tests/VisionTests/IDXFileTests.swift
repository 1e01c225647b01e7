import Foundation
import Testing

@testable import ResidualVision

@Suite("IDX files, gzipped or not")
struct IDXFileTests {
  let folder: TemporaryFolder

  /// Two images of 2 x 3 pixels.
  let images = idx([2, 2, 3], Array(1...12))

  init() throws { folder = try TemporaryFolder() }

  @Test("Plain, gzipped and in two gzip members, whatever the name says")
  func contentDecides() throws {
    let twoMembers = try gzip(Array(images.prefix(20))) + gzip(Array(images.dropFirst(20)))
    for (name, bytes) in [
      ("plain", images), ("plain.gz", images), ("packed.gz", try gzip(images)), ("packed", try gzip(images)),
      ("members", twoMembers),
    ] {
      let file = try IDXFile(path: folder.write(bytes, to: name), rank: 3)
      #expect(file.dimensions == [2, 2, 3])
      #expect(file.bytes == Array(1...12))
    }
  }

  @Test("A file of several input pieces")
  func large() throws {
    // Bytes that deflate can't shorten, so that the packed file is longer than one piece.
    var generator = SystemRandomNumberGenerator()
    let content = (0..<300_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let path = try folder.write(gzip(idx([300, 1000], content)), to: "large")
    #expect(try IDXFile(path: path, rank: 2).bytes == content)
  }

  @Test("A file that isn't there, a folder, an empty file")
  func nothingToRead() throws {
    let path = folder.url.appending(path: "none").path
    expectError(.missing, at: path, saying: "can't be opened", "No such file") { _ = try IDXFile(path: path, rank: 3) }
    expectError(.wrongFormat, at: folder.url.path, saying: "not a regular file") {
      _ = try IDXFile(path: folder.url.path, rank: 3)
    }
    let empty = try folder.write([], to: "empty")
    expectError(.truncated, at: empty, saying: "is empty", "get it again") { _ = try IDXFile(path: empty, rank: 3) }
  }

  @Test("A web page named .gz")
  func webPage() throws {
    let pages = ["<!DOCTYPE html><html>", "\n  <HTML><head>", "<?xml version=\"1.0\"?><Error>"]
    for page in pages {
      let path = try folder.write(Array(page.utf8), to: "images.gz")
      expectError(.wrongFormat, at: path, saying: "web page", "delete the file and get it again") {
        _ = try IDXFile(path: path, rank: 3)
      }
      let packed = try folder.write(gzip(Array(page.utf8)), to: "packed.gz")
      expectError(.wrongFormat, at: packed, saying: "web page", "get it again") {
        _ = try IDXFile(path: packed, rank: 3)
      }
    }
  }

  @Test("Every truncation of a gzip file")
  func truncatedGzip() throws {
    let packed = try gzip(images)
    for count in 2..<packed.count {
      let path = try folder.write(Array(packed.prefix(count)), to: "cut")
      expectError(.truncated, at: path, saying: "gzip data ends early", "get it again") {
        _ = try IDXFile(path: path, rank: 3)
      }
    }
  }

  @Test("Every truncation of a plain file")
  func truncatedPlain() throws {
    for count in 4..<images.count {
      let path = try folder.write(Array(images.prefix(count)), to: "cut")
      expectError(.truncated, at: path, saying: "get it again") { _ = try IDXFile(path: path, rank: 3) }
    }
  }

  @Test("A damaged checksum, damaged data, bytes after the end")
  func damagedGzip() throws {
    var packed = try gzip(images)
    packed[packed.count - 8] ^= 1
    let path = try folder.write(packed, to: "crc")
    expectError(.corrupt, at: path, saying: "damaged", "incorrect data check") { _ = try IDXFile(path: path, rank: 3) }

    packed[packed.count - 8] ^= 1
    packed[12] ^= 0xff
    let data = try folder.write(packed, to: "data")
    #expect(throws: DatasetError.self) { try IDXFile(path: data, rank: 3) }

    let trailing = try folder.write(gzip(images) + [1, 2, 3], to: "trailing")
    expectError(.corrupt, at: trailing, saying: "after the end of the gzip data") {
      _ = try IDXFile(path: trailing, rank: 3)
    }
  }

  @Test("Gzipped twice")
  func gzippedTwice() throws {
    let path = try folder.write(gzip(gzip(images)), to: "twice")
    expectError(.wrongFormat, at: path, saying: "gzipped twice", "gunzip") { _ = try IDXFile(path: path, rank: 3) }
  }

  @Test("Wrong magic: another type, another rank, another file")
  func wrongMagic() throws {
    let floats = try folder.write(idx([1, 1, 1], [0, 0, 0, 0], type: 0x0d), to: "floats")
    expectError(.wrongFormat, at: floats, saying: "begins with 00 00 0d 03, not with 00 00 08 03") {
      _ = try IDXFile(path: floats, rank: 3)
    }
    let labels = try folder.write(idx([2], [0, 1]), to: "labels")
    expectError(.wrongFormat, at: labels, saying: "3 dimensions", "00 00 08 01", "right file") {
      _ = try IDXFile(path: labels, rank: 3)
    }
    let text = try folder.write(Array("hello, world".utf8), to: "text")
    expectError(.wrongFormat, at: text, saying: "68 65 6c 6c") { _ = try IDXFile(path: text, rank: 1) }
  }

  @Test("Dimensions that disagree with the content")
  func wrongCounts() throws {
    let more = try folder.write(idx([3, 2, 3], Array(1...12)), to: "more")
    expectError(.truncated, at: more, saying: "3 x 2 x 3 bytes", "get it again") {
      _ = try IDXFile(path: more, rank: 3)
    }
    let packed = try folder.write(gzip(idx([3, 2, 3], Array(1...12))), to: "more.gz")
    expectError(.truncated, at: packed, saying: "only 12 follow", "get it again") {
      _ = try IDXFile(path: packed, rank: 3)
    }
    for bytes in [idx([1, 2, 3], Array(1...12)), try gzip(idx([1, 2, 3], Array(1...12)))] {
      let fewer = try folder.write(bytes, to: "fewer")
      expectError(.inconsistent, at: fewer, saying: "more bytes than its header says") {
        _ = try IDXFile(path: fewer, rank: 3)
      }
    }
  }

  @Test("Dimensions beyond any file, whose product overflows, and beyond what is accepted")
  func hugeClaims() throws {
    let huge = idx([.max, .max, .max], [0])
    for bytes in [huge, try gzip(huge)] {
      let path = try folder.write(bytes, to: "huge")
      expectError(.tooLarge, at: path, saying: "4294967295 x 4294967295", "accepted") {
        _ = try IDXFile(path: path, rank: 3)
      }
    }
    let large = try folder.write(gzip(idx([1 << 30], [0])), to: "large")
    expectError(.truncated, at: large, saying: "1073741824 bytes, more than its", "can hold") {
      _ = try IDXFile(path: large, rank: 1)
    }
    let bomb = try folder.write(gzip(idx([100_000], [UInt8](repeating: 0, count: 100_000))), to: "bomb")
    expectError(.tooLarge, at: bomb, saying: "more than the 99999") {
      _ = try IDXFile(path: bomb, rank: 1, maximumByteCount: 99_999)
    }
    #expect(try IDXFile(path: bomb, rank: 1, maximumByteCount: 100_000).bytes.count == 100_000)
  }
}
