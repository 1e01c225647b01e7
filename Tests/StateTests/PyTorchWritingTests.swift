import Foundation
import Testing

@testable import ResidualState

@Suite struct PyTorchWritingTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func writesWhatItReads() throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path("zip.pth"))
    let path = "\(folder.path)/x.pth"
    try stateDict.write(to: path)
    try FormatFixtures.check(StateDict(contentsOf: path))
  }

  @Test func writesATreeOfEverything() throws {
    let tensor = TensorData([1, 2] as [Int64], shape: [2, 1])
    let value = PickleValue.dictionary([
      .init(key: .string("ints"), value: .list([0, 255, 256, -1, 1 << 31, -1 << 31, .max, .min].map { .int($0) })),
      .init(key: .int(-3), value: .tuple([.none, .bool(true), .bool(false), .float(-0.1), .float(.infinity)])),
      .init(key: .string("ü"), value: .bytes([0, 127, 128, 255])),
      .init(key: .string("large"), value: .largeInt([0, 0, 0, 0, 0, 0, 0, 0, 1])),
      .init(key: .string("nested"), value: .orderedDictionary([.init(key: .string("t"), value: .tensor(tensor))])),
      .init(key: .string("empty"), value: .list([.list([]), .tuple([]), .dictionary([]), .orderedDictionary([])])),
    ])
    let path = "\(folder.path)/tree.pth"
    try PyTorchFile.write(value, to: path)
    #expect(try PyTorchFile.read(path) == value)
  }

  @Test func sameStateDictSameBytes() throws {
    let stateDict = try StateDict(contentsOf: FormatFixtures.path("zip.pth"))
    let paths = ["a", "b"].map { "\(folder.path)/\($0).pth" }
    for path in paths { try stateDict.write(to: path) }
    #expect(try Data(contentsOf: URL(fileURLWithPath: paths[0])) == Data(contentsOf: URL(fileURLWithPath: paths[1])))
  }

  @Test func tooDeepIsRefused() {
    var value = PickleValue.none
    for _ in 0..<200 { value = .list([value]) }
    #expect(stateError { try PyTorchFile.write(value, to: "\(folder.path)/x.pth") }?.code == .unsupported)
  }

  @Test func everyFormatHoldsTheSame() throws {
    var stateDict = try StateDict(contentsOf: FormatFixtures.path("zip.pth"))
    stateDict["bfloat16"] = nil  // NumPy has none
    let endings = ["pth", "safetensors", "npz"]
    for from in endings {
      try stateDict.write(to: "\(folder.path)/x.\(from)")
      for to in endings {
        try StateDict(contentsOf: "\(folder.path)/x.\(from)").write(to: "\(folder.path)/y.\(to)")
        #expect(try StateDict(contentsOf: "\(folder.path)/y.\(to)") == stateDict, "\(from) to \(to)")
      }
    }
  }
}
