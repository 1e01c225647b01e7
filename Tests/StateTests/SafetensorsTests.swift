import Foundation
import Testing

@testable import ResidualState

@Suite struct SafetensorsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A file of a header and `count` bytes.
  private func file(_ header: String, bytes count: Int = 0, length: UInt64? = nil) throws -> String {
    let json = Array(header.utf8)
    return try folder.file(littleEndian(length ?? UInt64(json.count)) + json + [UInt8](repeating: 0, count: count))
  }

  private func read(_ path: String) throws -> StateDict { try SafetensorsFile.read(InputFile(path)) }

  @Test func readsWhatPythonWrites() throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path("all.safetensors"))
    try FormatFixtures.check(stateDict, inOrder: false)
    #expect(stateDict.metadata == ["format": "pt", "note": "ä \"quoted\" \n"])
  }

  @Test func readsWithoutMapping() throws {
    let stateDict = try StateDict(
      contentsOf: FormatFixtures.path("all.safetensors"), options: .init(mapping: false))
    try FormatFixtures.check(stateDict, inOrder: false)
  }

  @Test func keepsOrderTensorsAndMetadata() throws {
    var stateDict = try StateDict(pyTorch: FormatFixtures.path("zip.pth"))
    stateDict.metadata = ["a": "b\"\\\u{1}ü", "": ""]
    let path = "\(folder.path)/x.safetensors"
    try stateDict.write(to: path)
    let again = try StateDict(contentsOf: path)
    #expect(again == stateDict)
    #expect(again.keys == stateDict.keys)
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(length.isMultiple(of: 8))
    #expect(bytes[8] == UInt8(ascii: "{"))
  }

  @Test func tensorsOutliveTheFile() throws {
    let path = try folder.file(FormatFixtures.bytes("all.safetensors"))
    let stateDict = try read(path)
    try FileManager.default.removeItem(atPath: path)
    try FormatFixtures.check(stateDict, inOrder: false)
  }

  @Test func misalignedTensorsAreReadable() throws {
    let header =
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#
    let stateDict = try read(file(header, bytes: 5))
    #expect(stateDict["b"]?.withUnsafeBytes { Int(bitPattern: $0.baseAddress) % 4 } == 0)
    #expect(stateDict["b"]?.scalars(as: Float.self) == [0])
  }

  @Test func readsEscapesAndAnEmptyFile() throws {
    #expect(try read(file("{}")).isEmpty)
    #expect(try read(file(#"{ "__metadata__" : {} }   "#)).isEmpty)
    let header = #"{"\u00e4\ud83d\ude00\/\n":{"shape":[],"data_offsets":[0,8],"dtype":"I64"}}"#
    #expect(try read(file(header, bytes: 8)).keys == ["ä😀/\n"])
  }

  private static func entry(_ key: String, _ dtype: String, _ shape: String, _ offsets: String) -> String {
    #""\#(key)":{"dtype":"\#(dtype)","shape":[\#(shape)],"data_offsets":[\#(offsets)]}"#
  }

  /// Headers that contradict themselves or the 8 bytes behind them.
  static let attacks: [(header: String, code: StateError.Code)] = [
    ("{\(entry("a", "F32", "2", "0,8")),\(entry("a", "F32", "2", "0,8"))}", .corrupt),  // a key twice
    ("{\(entry("a", "F32", "2", "0,8")),\(entry("b", "F32", "2", "0,8"))}", .corrupt),  // overlap
    ("{\(entry("a", "F32", "1", "0,4")),\(entry("b", "U8", "3", "5,8"))}", .corrupt),  // hole
    ("{\(entry("a", "F32", "1", "4,8"))}", .corrupt),  // hole at the start
    ("{\(entry("a", "F32", "1", "0,4"))}", .corrupt),  // bytes left over
    ("{\(entry("a", "F32", "3", "0,12"))}", .truncated),
    ("{\(entry("a", "F32", "3", "0,8"))}", .corrupt),  // shape against size
    ("{\(entry("a", "F32", "2", "8,0"))}", .corrupt),  // backwards
    ("{\(entry("a", "F32", "2", "0"))}", .corrupt),
    ("{\(entry("a", "F32", "2", "0,8,8"))}", .corrupt),
    ("{\(entry("a", "F32", "4611686018427387904,4", "0,8"))}", .corrupt),  // product overflows to 0
    ("{\(entry("a", "F32", "9223372036854775808", "0,8"))}", .corrupt),  // beyond 64 bits
    ("{\(entry("a", "F32", "9223372036854775807,0", "0,0")),\(entry("b", "I64", "", "0,8"))}", .corrupt),
    ("{\(entry("a", "F32", "-2", "0,8"))}", .corrupt),
    ("{\(entry("a", "F32", "2.0", "0,8"))}", .corrupt),
    ("{\(entry("a", "F32", "02", "0,8"))}", .corrupt),
    ("{\(entry("a", "F32", "2e0", "0,8"))}", .corrupt),
    ("{\(entry("a", "F8_E4M3", "8", "0,8"))}", .unsupported),
    ("{\(entry("a", "f32", "2", "0,8"))}", .unsupported),
    (#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, .corrupt),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, .corrupt),
    (#"{"a":{"dtype":"F32","shape":[2]}}"#, .corrupt),
    (#"{"a":null}"#, .corrupt),
    (#"{"__metadata__":{"a":"1","a":"2"}}"#, .corrupt),
    (#"{"__metadata__":{"a":1}}"#, .corrupt),
    (#"{"__metadata__":{},"__metadata__":{}}"#, .corrupt),
    ("{\(entry("a\u{1}", "F32", "2", "0,8"))}", .corrupt),
    ("{\(entry(#"\ud800"#, "F32", "2", "0,8"))}", .corrupt),
    ("{\(entry(#"\x"#, "F32", "2", "0,8"))}", .corrupt),
    ("{\(entry("a", "F32", "2", "0,8"))},", .corrupt),
    ("{\(entry("a", "F32", "2", "0,8"))}\n", .corrupt),  // padding is spaces only
    ("{\(entry("a", "F32", "2", "0,8")),}", .corrupt),
    (" {\(entry("a", "F32", "2", "0,8"))}", .corrupt),
    ("[]", .corrupt), ("", .corrupt), ("{", .corrupt), (#"{""#, .corrupt), (#"{"a":"#, .corrupt),
    (String(repeating: "{\"a\":", count: 50_000), .corrupt),  // deep
    (#"{"a":"# + String(repeating: "[", count: 50_000), .corrupt),
  ]

  @Test(arguments: attacks.indices) func refusesAttacks(_ index: Int) throws {
    let (header, code) = Self.attacks[index]
    let path = try file(header, bytes: 8)
    let error = stateError { _ = try read(path) }
    #expect(error?.code == code, "\(header.prefix(200))")
    #expect(error?.path == path)
  }

  @Test func refusesKeysThatAreNotUTF8() throws {
    let json = Array(#"{"a"#.utf8) + [0xFF] + Array(#"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.utf8)
    let path = try folder.file(littleEndian(UInt64(json.count)) + json + [UInt8](repeating: 0, count: 8))
    #expect(stateError { _ = try read(path) }?.code == .corrupt)
  }

  @Test func limitsTheHeader() throws {
    #expect(stateError { _ = try read(file("{}", length: 100_000_001)) }?.code == .refused)
    #expect(stateError { _ = try read(file("{}", length: .max)) }?.code == .refused)
    #expect(stateError { _ = try read(file("{}", length: 3)) }?.code == .truncated)
    #expect(stateError { _ = try read(folder.file([0, 0, 0])) }?.code == .truncated)
    var stateDict = StateDict()
    stateDict.metadata = ["big": String(repeating: "x", count: 100_000_000)]
    let path = "\(folder.path)/big.safetensors"
    #expect(stateError { try stateDict.write(to: path) }?.code == .unsupported)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func refusesTheReservedKey() throws {
    let stateDict: StateDict = ["__metadata__": TensorData([1 as Float], shape: [1])]
    #expect(stateError { try stateDict.write(to: "\(folder.path)/x.safetensors") }?.code == .invalidKey)
  }
}
