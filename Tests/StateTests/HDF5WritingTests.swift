import Testing

@testable import ResidualState

@Suite struct HDF5WritingTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func roundTripKeepsKeysOrderShapesTypesBytesAndMetadata() throws {
    var stateDict = smallStateDict
    for dtype in DataType.allCases {
      stateDict["of \(dtype)"] = TensorData([0.0, 1, 0, 1, 1, 1], shape: [3, 2]).converted(to: dtype)
    }
    stateDict["empty"] = counting(2, 0, 3)
    stateDict["größe.重み"] = counting(5)
    stateDict["with spaces and ."] = counting(1, 1, 1, 1, 1, 1, 1, 1)
    stateDict.metadata = ["model": "resnet101", "empty": "", "größe": "überall", "json": "{\"a\": [1, 2]}"]
    try stateDict.write(to: folder.file("a.h5"))
    #expect(try StateDict(contentsOf: folder.file("a.h5")) == stateDict)
    #expect(try FileFormat.detect(folder.file("a.h5")) == .hdf5)
  }

  @Test func orderSurvivesWhereAddressesWouldNotTellIt() throws {
    var stateDict = StateDict()
    for index in 0..<2000 {
      stateDict["\(String(repeating: "x", count: index * 37 % 29)).\(index)"] = counting(index % 5)
    }
    try stateDict.write(to: folder.file("a.h5"))
    #expect(try StateDict(contentsOf: folder.file("a.h5")).keys == stateDict.keys)
  }

  @Test func aTensorOfSeveralPiecesIsReadAndVerified() throws {
    let stateDict: StateDict = ["big": counting(3, 300_000), "small": counting(3)]
    try stateDict.write(to: folder.file("a.h5"))
    #expect(try StateDict(contentsOf: folder.file("a.h5")) == stateDict)
  }

  @Test func emptyStateDict() throws {
    try StateDict().write(to: folder.file("a.h5"))
    #expect(try StateDict(contentsOf: folder.file("a.h5")).isEmpty)
  }

  @Test func theSameStateDictGivesTheSameBytes() throws {
    try smallStateDict.write(to: folder.file("a.h5"))
    try smallStateDict.write(to: folder.file("b.h5"))
    #expect(try folder.bytes(of: "a.h5") == folder.bytes(of: "b.h5"))
  }

  @Test(arguments: ["", "a/b", "/", ".", "..", "a\0b"])
  func namesThatHDF5CannotHold(key: String) throws {
    let error = stateError { try StateDict(dictionaryLiteral: (key, counting(1))).write(to: folder.file("a.h5")) }
    #expect(error?.code == .invalidKey)
    #expect(error?.key == key)
    #expect(try folder.names == [])
  }

  @Test func limitsHoldOnWriting() throws {
    let axes = TensorData([Float(0)], shape: [Int](repeating: 1, count: 33))
    #expect(
      stateError { try StateDict(dictionaryLiteral: ("a", axes)).write(to: folder.file("a.h5")) }?.code == .unsupported)
    var stateDict = smallStateDict
    stateDict.metadata["long"] = String(repeating: "x", count: 70_000)
    #expect(stateError { try stateDict.write(to: folder.file("a.h5")) }?.code == .invalidKey)
    #expect(try folder.names == [])
  }

  @Test func anArchiveIsAStateDictWithGroupsBeside() throws {
    var optimizer: StateDict = ["fc.weight.exp_avg": counting(10, 4), "step": TensorData([Int64(12)], shape: [])]
    optimizer.metadata["name"] = "Adam"
    var archive = HDF5Archive(smallStateDict)
    archive.stateDict.metadata["model"] = "SmallNet"
    archive.groups["optimizer"] = optimizer
    archive.groups["history"] = ["loss": TensorData([2.5, 1.5], shape: [2])]
    try archive.write(to: folder.file("run.h5"))
    #expect(try HDF5Archive(contentsOf: folder.file("run.h5")) == archive)
    #expect(try StateDict(contentsOf: folder.file("run.h5")) == archive.stateDict)
  }

  @Test func aStateDictIsAnArchiveWithoutGroups() throws {
    #expect(try HDF5Archive(contentsOf: fixture("order")).groups.isEmpty)
    try smallStateDict.write(to: folder.file("a.h5"))
    #expect(try HDF5Archive(contentsOf: folder.file("a.h5")) == HDF5Archive(smallStateDict))
  }

  @Test func theReservedNameIsFreeWhereThereAreNoGroups() throws {
    let stateDict: StateDict = ["residual": counting(2)]
    try stateDict.write(to: folder.file("a.h5"))
    #expect(try StateDict(contentsOf: folder.file("a.h5")) == stateDict)
    let archive = HDF5Archive(stateDict, groups: ["optimizer": [:]])
    #expect(stateError { try archive.write(to: folder.file("b.h5")) }?.code == .invalidKey)
  }

  @Test func theEndingChoosesTheFormat() {
    #expect(FileFormat(endingOf: "a/b.v2/weights.H5") == .hdf5)
    #expect(FileFormat(endingOf: "weights.safetensors") == .safetensors)
    #expect(FileFormat(endingOf: "resnet20.th") == .pytorch)
    #expect(FileFormat(endingOf: "weights.npz") == .npz)
    #expect(FileFormat(endingOf: "a.h5/weights") == nil)
  }
}
