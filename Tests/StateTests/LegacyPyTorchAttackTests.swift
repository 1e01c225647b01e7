import Foundation
import Testing

@testable import ResidualState

/// Files in PyTorch's format before 1.6 made by hand to do harm.
@Suite struct LegacyPyTorchAttackTests {
  /// A file's parts, honest until one is changed: a float tensor of 4 numbers.
  struct File: Sendable {
    var magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    var version: [UInt8] = [0x8A, 2, 0xE9, 3]
    var system: [UInt8] = ascii("}") + string("little_endian") + [0x88] + ascii("s")
    var object: [UInt8] = dictionary([("w", tensor(storage()))])
    var keys: [UInt8] = ascii("]") + string("0") + ascii("a")
    var counts: [UInt64] = [4]
    var data = [UInt8](repeating: 0, count: 16)

    var bytes: [UInt8] {
      [magic, version, system, object, keys].flatMap { [0x80, 2] + $0 + ascii(".") }
        + counts.flatMap { littleEndian($0) } + data
    }
  }

  struct Attack: Sendable, CustomTestStringConvertible {
    let name: String
    let code: StateError.Code
    let strike: @Sendable (inout File) -> Void
    var testDescription: String { name }

    init(_ name: String, _ code: StateError.Code, _ strike: @escaping @Sendable (inout File) -> Void) {
      (self.name, self.code, self.strike) = (name, code, strike)
    }
  }

  static let attacks = [
    Attack("another magic number", .wrongFormat) { $0.magic[2] = 0 },
    Attack("another protocol", .unsupported) { $0.version[2] = 0xEA },
    Attack("a protocol that is no number", .unsupported) { $0.version = ascii("N") },
    Attack("a system that is a list", .corrupt) { $0.system = ascii("]") },
    Attack("a system of the other byte order", .corrupt) {
      $0.system = ascii("}") + string("little_endian") + [0x89] + ascii("s")
    },
    Attack("keys that are no list", .corrupt) { $0.keys = ascii("}") },
    Attack("no keys", .corrupt) { $0.keys = ascii("]") },
    Attack("a key twice", .corrupt) { $0.keys += string("0") + ascii("a") },
    Attack("a key of nothing", .corrupt) { $0.keys += string("1") + ascii("a") },
    Attack("a key that is a number", .corrupt) { $0.keys = ascii("]") + int(0) + ascii("a") },
    Attack("fewer elements than the pickle says", .corrupt) { $0.counts = [3] },
    Attack("more elements than the pickle says", .corrupt) { $0.counts = [5] },
    Attack("2^63 elements", .corrupt) { $0.counts = [1 << 63] },
    Attack("2^64 - 1 elements", .corrupt) { $0.counts = [.max] },
    Attack("no number of elements", .truncated) { ($0.counts, $0.data) = ([], []) },
    Attack("a lost byte", .truncated) { $0.data.removeLast() },
    Attack("lost tensors", .truncated) { $0.data = [] },
    Attack("2^40 elements on both sides", .truncated) {
      $0.object = dictionary([("w", tensor(storage(1 << 40)))])
      $0.counts = [1 << 40]
    },
    Attack("2^62 elements on both sides", .corrupt) {
      $0.object = dictionary([("w", tensor(storage(1 << 62)))])
      $0.counts = [1 << 62]
    },
    Attack("fewer elements than none", .corrupt) { $0.object = dictionary([("w", tensor(storage(-4)))]) },
    Attack("a view beyond its storage", .corrupt) {
      $0.object = dictionary([("w", tensor(storage(view: (2, 4))))])
    },
    Attack("a view before its storage", .corrupt) {
      $0.object = dictionary([("w", tensor(storage(view: (-1, 4))))])
    },
    Attack("a view whose end overflows", .corrupt) {
      $0.object = dictionary([("w", tensor(storage(view: (.max, .max))))])
    },
    Attack("a tensor larger than its view", .corrupt) {
      $0.object = dictionary([("w", tensor(storage(view: (0, 3))))])
    },
    Attack("two sizes of one storage", .corrupt) {
      $0.object = dictionary([("w", tensor(storage())), ("v", tensor(storage(5)))])
    },
    Attack("a type of storage that is a function", .refused) { $0.object = ascii("cos\nsystem\n") },
    Attack("pickles without an end", .truncated) {
      $0.object = ascii("X") + littleEndian(UInt32.max)
      ($0.keys, $0.counts, $0.data) = ([], [], [])
    },
  ]

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func readsAnHonestFile() throws {
    let path = try folder.file(File().bytes)
    #expect(try StateDict(contentsOf: path)["w"]?.scalars(as: Float.self) == [0, 0, 0, 0])
  }

  @Test(arguments: attacks) func isRefused(_ attack: Attack) throws {
    var file = File()
    attack.strike(&file)
    let path = try folder.file(file.bytes)
    let error = stateError { _ = try StateDict(contentsOf: path) }
    #expect(error?.code == attack.code, "\(String(describing: error))")
    #expect(error?.path == path)
  }
}

private func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

private func string(_ text: String) -> [UInt8] { ascii("X") + littleEndian(UInt32(text.utf8.count)) + ascii(text) }

private func int(_ value: Int64) -> [UInt8] { [0x8A, 8] + littleEndian(value) }

/// A storage of floats, or the part of one from an offset on.
private func storage(_ count: Int64 = 4, view: (offset: Int64, count: Int64)? = nil) -> [UInt8] {
  let part = view.map { ascii("(") + string("0v") + int($0.offset) + int($0.count) + ascii("t") } ?? ascii("N")
  return ascii("(") + string("storage") + ascii("ctorch\nFloatStorage\n") + string("0") + string("cpu") + int(count)
    + part + ascii("tQ")
}

/// A tensor of four elements.
private func tensor(_ storage: [UInt8]) -> [UInt8] {
  ascii("ctorch._utils\n_rebuild_tensor_v2\n(") + storage + int(0) + ascii("(") + int(4) + ascii("t(") + int(1)
    + ascii("t") + [0x89] + ascii("NtR")
}

private func dictionary(_ entries: [(String, [UInt8])]) -> [UInt8] {
  ascii("}") + entries.flatMap { string($0.0) + $0.1 + ascii("s") }
}
