import Foundation
import Testing

@testable import ResidualState

@Suite struct FileFormatTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func error(reading bytes: some Sequence<UInt8>) throws -> StateError? {
    let path = try folder.write(bytes, to: "weights.h5")
    return stateError { _ = try StateDict(contentsOf: path) }
  }

  @Test(arguments: [
    ("<!DOCTYPE html><html>404</html>", "this is a web page"), ("  <HTML>", "this is a web page"),
    ("just some text\n", "this is a text file"), ("", "the file is empty"),
    ("\0\0\0\0\0\0\0\0\0\0", "begins with zeros"),
    ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), ("\u{1F}", "no file of weights that is known"),
  ])
  func aStrangerIsToldByItsContent(text: String, words: String) throws {
    let error = try error(reading: text.utf8)
    #expect(error?.code == .wrongFormat)
    #expect(error?.message.contains(words) == true, "\(String(describing: error))")
  }

  @Test func gzipIsTold() throws {
    #expect(try error(reading: [0x1F, 0x8B, 8, 0, 0, 0])?.message.contains("gzip") == true)
  }

  @Test func otherFormatsAreTold() throws {
    func format(_ bytes: [UInt8]) throws -> FileFormat { try FileFormat.detect(folder.write(bytes, to: "x.h5")) }
    func zip(_ name: String) -> [UInt8] {
      Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 0, count: 22) + [UInt8(name.utf8.count), 0, 0, 0]
        + Array(name.utf8)
    }
    #expect(try format(zip("archive/data.pkl")) == .pytorch)
    #expect(try format(zip("conv1.weight.npy")) == .npz)
    #expect(
      try format([0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]) == .pytorch)
    #expect(try format([2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)) == .safetensors)
    #expect(stateError { _ = try format([200, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)) }?.code == .wrongFormat)
  }

  @Test func whatIsNoFileIsTold() {
    #expect(stateError { _ = try StateDict(contentsOf: folder.file("none.h5")) }?.code == .notFound)
    #expect(stateError { _ = try StateDict(contentsOf: folder.path) }?.message.contains("this is a folder") == true)
    #expect(stateError { _ = try StateDict(contentsOf: "/dev/null") }?.message.contains("not a regular file") == true)
    #expect(stateError { _ = try StateDict(contentsOf: folder.file("none.h5")) }?.cause == "No such file or directory")
  }
}
