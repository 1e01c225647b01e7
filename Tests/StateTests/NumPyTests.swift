import Foundation
import Testing

@testable import ResidualState

@Suite struct NumPyTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: ["all.npz", "compressed.npz"]) func readsWhatNumPyWrites(_ name: String) throws {
    try FormatFixtures.check(StateDict(contentsOf: FormatFixtures.path(name)), leavingOut: [.bfloat16])
  }

  @Test func readsEveryOrder() throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path("orders.npz"))
    let counted = (0..<24).map(Double.init)
    for key in ["big", "fortran", "both"] {
      #expect(stateDict[key]?.shape == [2, 3, 4])
      #expect(stateDict[key]?.scalars(as: Double.self) == counted, "\(key)")
    }
    #expect(stateDict["both"]?.dtype == .float64)
    #expect(stateDict["big_int"]?.scalars(as: Int16.self) == [1, -2])
    #expect(stateDict["vector"]?.scalars(as: Int32.self) == [1, 2, 3])
  }

  @Test(arguments: ["version2.npz", "version3.npz"]) func readsLaterVersions(_ name: String) throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path(name))
    #expect(stateDict["x"]?.scalars(as: Float.self) == (0..<24).map(Float.init))
  }

  @Test func refusesObjectsAndFields() throws {
    let objects = stateError { _ = try StateDict(contentsOf: FormatFixtures.path("objects.npz")) }
    #expect(objects?.code == .unsupported)
    #expect(objects?.message.contains("Python objects") == true)
    #expect(stateError { _ = try StateDict(contentsOf: FormatFixtures.path("fields.npz")) }?.code == .unsupported)
  }

  @Test func writesWhatItReads() throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path("all.npz"))
    let path = "\(folder.path)/x.npz"
    try stateDict.write(to: path)
    #expect(try StateDict(contentsOf: path) == stateDict)
  }

  @Test func refusesBrainFloatsByKey() throws {
    let stateDict: StateDict = ["w": TensorData([1 as Float], shape: [1]).converted(to: .bfloat16)]
    let error = stateError { try stateDict.write(to: "\(folder.path)/x.npz") }
    #expect(error?.code == .unsupported)
    #expect(error?.key == "w")
  }

  /// Headers that are not NumPy's, each in front of 8 bytes.
  static let attacks: [(header: String, code: StateError.Code)] = [
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': [2], }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", .corrupt),
    ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False}", .corrupt),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } + __import__('os')", .corrupt),
    ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", .unsupported),
    ("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", .unsupported),
    ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", .unsupported),
    ("{'descr': '|f4', 'fortran_order': False, 'shape': (2,), }", .unsupported),
    ("{'descr': '', 'fortran_order': False, 'shape': (2,), }", .unsupported),
    ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", .unsupported),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (\(String(repeating: "1,", count: 65))), }", .corrupt),
    (String(repeating: "(", count: 60_000), .corrupt), ("", .corrupt), ("{", .corrupt),
  ]

  @Test(arguments: attacks.indices) func refusesAttacks(_ index: Int) throws {
    let (header, code) = Self.attacks[index]
    let text = Array(header.utf8)
    let array = [0x93] + Array("NUMPY\u{1}\u{0}".utf8) + littleEndian(UInt16(text.count)) + text
    let path = try folder.file(TestZip.make([.init("x.npy", array + [UInt8](repeating: 0, count: 8))]))
    let error = stateError { _ = try NPZFile.read(InputFile(path)) }
    #expect(error?.code == code, "\(header.prefix(100))")
    #expect(error?.key == "x")
  }

  @Test func refusesLongHeadersAndStrangers() throws {
    let long =
      [0x93] + Array("NUMPY\u{2}\u{0}".utf8) + littleEndian(UInt32(1 << 20)) + [UInt8](repeating: 32, count: 1 << 20)
    let path = try folder.file(TestZip.make([.init("x.npy", long)]))
    #expect(stateError { _ = try NPZFile.read(InputFile(path)) }?.code == .refused)
    let other = try folder.file(TestZip.make([.init("x.npy", Array("hello, world".utf8))]))
    #expect(stateError { _ = try NPZFile.read(InputFile(other)) }?.code == .wrongFormat)
    let mixed = try folder.file(TestZip.make([.init("readme.txt", [])]))
    #expect(stateError { _ = try NPZFile.read(InputFile(mixed)) }?.code == .wrongFormat)
  }
}
