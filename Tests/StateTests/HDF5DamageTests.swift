import Testing

@testable import ResidualState

/// What is said of files of ours that were cut or lost a bit; see ``CorruptionTests`` for every place.
@Suite struct HDF5DamageTests {
  let folder: TemporaryFolder
  let bytes: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    try smallStateDict.write(to: folder.file("a.h5"))
    bytes = try folder.bytes(of: "a.h5")
  }

  @Test func aCutFileSaysBothSizes() throws {
    let path = try folder.write(bytes.dropLast(100), to: "cut.h5")
    let error = stateError { _ = try StateDict(contentsOf: path) }
    #expect(error?.code == .truncated)
    #expect(error?.message.contains("it has \(bytes.count - 100) bytes of \(bytes.count)") == true)
  }

  @Test func aFlippedBitOfATensorIsNamed() throws {
    let archive = HDF5Archive(
      smallStateDict, groups: ["optimizer": ["step": TensorData([Int64(0x1122_3344_5566_7788)], shape: [])]])
    try archive.write(to: folder.file("run.h5"))
    var damaged = try folder.bytes(of: "run.h5")
    let place = try #require(damaged.indices.dropLast(8).first { damaged[$0..<$0 + 4] == [0x88, 0x77, 0x66, 0x55] })
    damaged[place] ^= 1
    let path = try folder.write(damaged, to: "flipped.h5")
    let error = stateError { _ = try HDF5Archive(contentsOf: path) }
    #expect(error?.code == .checksumMismatch)
    #expect(error?.key == "optimizer/step")
    let unverified = StateDict.ReadOptions(verifyingChecksums: false)
    #expect(try HDF5Archive(contentsOf: path, options: unverified).stateDict == smallStateDict)
  }

  @Test func aLostTensorIsNoticed() throws {
    // The number of entries in the group's only leaf, after its signature and two bytes.
    let leaf = try #require(bytes.indices.dropLast(8).first { bytes[$0..<$0 + 4].elementsEqual("SNOD".utf8) })
    var damaged = bytes
    damaged[leaf + 6] -= 1
    let path = try folder.write(damaged, to: "lost.h5")
    let error = stateError { _ = try StateDict(contentsOf: path) }
    #expect(error?.code == .checksumMismatch)
    #expect(error?.message.contains("5 tensors were written to it and 4 are there") == true)
    #expect(try StateDict(contentsOf: path, options: .init(verifyingChecksums: false)).count == 4)
  }
}
