import Foundation
import Testing

@testable import ResidualState

/// Pickles made by hand to do harm, each in a zip file as torch.save packs it.
@Suite struct PickleAttackTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func file(_ pickle: [UInt8], storage: [UInt8] = []) throws -> String {
    try folder.file(TestZip.make([.init("a/data.pkl", [0x80, 2] + pickle), .init("a/data/0", storage)]))
  }

  private func error(_ pickle: [UInt8], storage: [UInt8] = []) throws -> StateError? {
    let path = try file(pickle, storage: storage)
    let whole = stateError { _ = try PyTorchFile.read(path) }
    let weights = stateError { _ = try StateDict(contentsOf: path) }
    #expect(weights != nil)
    return whole ?? weights
  }

  /// Names of Python that are none of a state dict's business; each is tried in two ways.
  static let globals = [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("subprocess", "Popen"),
    ("torch", "load"), ("torch.hub", "load"), ("collections", "OrderedDict.__init__"), ("numpy", "load"), ("", ""),
    ("torch._utils", "_rebuild_qtensor"), ("argparse", "Namespace"), ("torch.serialization", "load"),
    ("__main__", "Net"),
  ]

  @Test func readsAnHonestTensor() throws {
    let path = try file(stateDict(tensor(storage(2), [2], [1])), storage: [0, 0, 128, 63, 0, 0, 0, 64])
    #expect(try StateDict(contentsOf: path)["w"]?.scalars(as: Float.self) == [1, 2])
  }

  @Test(arguments: globals)
  func refusesEveryOtherNameByName(_ module: String, _ name: String) throws {
    let call = tuple(string("echo harm")) + ascii("R.")
    for global in [ascii("c\(module)\n\(name)\n"), string(module) + string(name) + [0x93]] {
      let found = try error(global + call)
      #expect(found?.code == .refused)
      #expect(found?.message.contains("\(module).\(name)") == true)
    }
  }

  /// Tensors that do not lie in a storage of 16 bytes.
  static let tensors: [[UInt8]] = [
    tensor(storage(4), [5], [1]), tensor(storage(4), offset: 1, [4], [1]), tensor(storage(4), [2, 2], [3, 1]),
    tensor(storage(4), offset: -1, [1], [1]), tensor(storage(4), [2], [-1]), tensor(storage(4), [-1], [1]),
    tensor(storage(4), offset: .max, [1], [1]), tensor(storage(4), [2], [.max]), tensor(storage(4), [.max], [1]),
    tensor(storage(4), [.max, 2], [0, 0]), tensor(storage(4), [1 << 32, 1 << 32], [0, 0]),
    tensor(storage(4), offset: .max, [2], [.max]), tensor(storage(4), [2], [1, 1]), tensor(storage(4), [2, 2], [1]),
    tensor(storage(5), [4], [1]), tensor(storage(3), [3], [1]), tensor(storage(-4), [4], [1]),
    tensor(storage(.max), [4], [1]), tensor(storage(1 << 61), [4], [1]),
    tensor(storage(4, type: "DoubleStorage"), [4], [1]),
    tensor(storage(4, key: "1"), [4], [1]), tensor(storage(4, key: "../data.pkl"), [4], [1]),
    tensor(storage(4), [Int64](repeating: 1, count: 65), [Int64](repeating: 1, count: 65)),
  ]

  @Test func refusesTensorsOutsideTheirStorage() throws {
    let four = [UInt8](repeating: 0, count: 16)
    for (index, attack) in Self.tensors.enumerated() {
      #expect(try error(stateDict(attack), storage: four)?.code == .corrupt, "\(index)")
    }
  }

  @Test func strangeButHarmlessTensorsAreRead() throws {
    let empty = tensor(storage(1), offset: .max, [0, 3], [3, 1])
    let one = tensor(storage(1), [1, 1], [.max, .max])
    let path = try file(ascii("}(") + string("e") + empty + string("o") + one + ascii("u."), storage: [0, 0, 128, 63])
    let stateDict = try StateDict(contentsOf: path)
    #expect(stateDict["e"]?.shape == [0, 3])
    #expect(stateDict["o"]?.scalars(as: Float.self) == [1])
  }

  @Test func viewsThatRepeatTheirBytesAreBounded() throws {
    let bomb = stateDict(tensor(storage(1), [1 << 40], [0]))
    #expect(try error(bomb, storage: [0, 0, 0, 0])?.code == .refused)
    let many = (0..<100).flatMap { string("\($0)") + tensor(storage(1), [1 << 20], [0]) }
    #expect(try error(ascii("}(") + many + ascii("u."), storage: [0, 0, 0, 0])?.code == .refused)
  }

  @Test func refusesTwoSizesOfOneStorageAndKeysTwice() throws {
    let two =
      ascii("}(") + string("a") + tensor(storage(2), [2], [1]) + string("b") + tensor(storage(1), [1], [1])
      + ascii("u.")
    #expect(try error(two, storage: [UInt8](repeating: 0, count: 8))?.code == .corrupt)
    let one = tensor(storage(1), [1], [1])
    let path = try file(ascii("}(") + string("a") + one + string("a") + one + ascii("u."), storage: [0, 0, 0, 0])
    #expect(stateError { _ = try StateDict(contentsOf: path) }?.key == "a")
  }

  @Test func deepAndCircularValuesEnd() throws {
    let deep =
      [UInt8](repeating: UInt8(ascii: "]"), count: 200_000) + [UInt8](repeating: UInt8(ascii: "a"), count: 199_999)
    #expect(try error(deep + ascii("."))?.code == .refused)
    #expect(try error(ascii("]q\0h\0a."))?.code == .refused)  // a list in itself
    #expect(try error(ascii("}q\0") + string("k") + ascii("h\0s."))?.code == .refused)  // a dict in itself
  }

  @Test func repetitionIsBounded() throws {
    // Each list holds the one before twice: 2^60 values in 300 bytes.
    var laughs = ascii("]q\0")
    for index in 0..<60 {
      laughs += ascii("](h") + [UInt8(index)] + ascii("h") + [UInt8(index)] + ascii("eq") + [UInt8(index + 1)]
    }
    #expect(try error(laughs + ascii("."))?.code == .refused)
    // One long list, copied by each of many calls.
    let pair = ascii("]") + ascii("(NNe")
    let list = ascii("](") + [[UInt8]](repeating: pair, count: 2000).joined() + ascii("eq\0")
    let call = ascii("ccollections\nOrderedDict\n") + ascii("h\0") + [0x85] + ascii("R0")
    #expect(try error(list + [[UInt8]](repeating: call, count: 2000).joined() + ascii("."))?.code == .refused)
    // Many dicts in the root, all the same long one.
    let long = ascii("}q\0(") + [[UInt8]](repeating: ascii("NN"), count: 20_000).joined() + ascii("u0")
    let root = (0..<20_000).map { string("\($0)") + ascii("h\0") }.joined()
    #expect(
      stateError { _ = try StateDict(contentsOf: file(long + ascii("}(") + root + ascii("u."))) }?.code == .wrongFormat)
  }

  /// Pickles that break off, or take from an empty stack, or call what they may with what it does not take.
  static let broken: [[UInt8]] = [
    ascii("."), ascii("0."), ascii("t."), ascii("R."), ascii("b."), ascii("a."), ascii("s."), ascii("u."),
    ascii("e."),
    ascii("(."), ascii("h\0."), ascii("j\0\0\0\0."), ascii("Q."), ascii("NQ."), ascii("NNR."), ascii("NNb."),
    ascii("]Na"),
    ascii("NNa."), ascii("}Ns."), ascii("](Nu."), ascii("}(Nu."), ascii("(0."), ascii("N(R."), [0x85], [0x86],
    ascii("N") + [0x87],
    ascii("X") + littleEndian(UInt32.max) + ascii("."), ascii("T") + littleEndian(UInt32.max) + ascii("."),
    [0x8D] + littleEndian(UInt64.max) + ascii("."), [0x8E] + littleEndian(UInt64(1) << 62),
    [0x8B] + littleEndian(Int32(-1)),
    ascii("X\u{1}\0\0\0") + [0xFF] + ascii("."), [0x80, 9] + ascii("N."), ascii("I1\n."), ascii("P0\n."),
    ascii("cos\n"), [0x93],
    ascii("NN") + [0x93], [0xFF], [], ascii("ctorch\nSize\n") + tuple(ascii("N")) + ascii("R."),
    ascii("ccollections\nCounter\n(NtR."), ascii("ctorch\ndevice\n)R."), ascii("ctorch\nFloatStorage\n)R."),
    ascii("ctorch._utils\n_rebuild_parameter\n)R."), ascii("ctorch._utils\n_rebuild_tensor_v3\n)R."),
    ascii("c_codecs\nencode\n") + tuple(string("x"), string("utf-16")) + ascii("R."),
  ]

  @Test func brokenPicklesAreRefused() throws {
    for attack in Self.broken {
      let found = try error(attack)
      let codes: [StateError.Code?] = [.corrupt, .truncated, .unsupported]
      #expect(codes.contains(found?.code), "\(attack): \(String(describing: found))")
    }
  }
}

// MARK: Pickles by hand

private func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

private func string(_ text: String) -> [UInt8] { ascii("X") + littleEndian(UInt32(text.utf8.count)) + ascii(text) }

private func int(_ value: Int64) -> [UInt8] { [0x8A, 8] + littleEndian(value) }

private func tuple(_ items: [UInt8]...) -> [UInt8] { ascii("(") + items.joined() + ascii("t") }

private func storage(_ count: Int64, key: String = "0", type: String = "FloatStorage") -> [UInt8] {
  tuple(string("storage"), ascii("ctorch\n\(type)\n"), string(key), string("cpu"), int(count)) + ascii("Q")
}

private func tensor(_ storage: [UInt8], offset: Int64 = 0, _ shape: [Int64], _ strides: [Int64]) -> [UInt8] {
  let sizes = ascii("(") + shape.flatMap(int) + ascii("t(") + strides.flatMap(int) + ascii("t")
  return ascii("ctorch._utils\n_rebuild_tensor_v2\n(") + storage + int(offset) + sizes + [0x89] + ascii("N")
    + ascii("tR")
}

private func stateDict(_ value: [UInt8]) -> [UInt8] { ascii("}") + string("w") + value + ascii("s.") }
