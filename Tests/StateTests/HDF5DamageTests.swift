import Testing

@testable import ResidualState

/// Files of ours that were cut or lost a bit: an error, or every tensor as it was written.
@Suite struct HDF5DamageTests {
  let folder: TemporaryFolder
  let bytes: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    try smallStateDict.write(to: folder.file("a.h5"))
    bytes = try folder.bytes(of: "a.h5")
  }

  @Test func aCutFileIsAnErrorAtEveryLength() throws {
    for size in stride(from: 0, to: bytes.count, by: 7) {
      let path = try folder.write(bytes.prefix(size), to: "cut.h5")
      #expect(stateError { _ = try StateDict(contentsOf: path) } != nil, "cut at \(size)")
    }
  }

  @Test func aCutFileSaysBothSizes() throws {
    let path = try folder.write(bytes.dropLast(100), to: "cut.h5")
    let error = stateError { _ = try StateDict(contentsOf: path) }
    #expect(error?.code == .truncated)
    #expect(error?.message.contains("it has \(bytes.count - 100) bytes of \(bytes.count)") == true)
  }

  @Test func aFlippedBitNeverGivesWrongWeights() throws {
    var refused = 0
    for bit in stride(from: 0, to: bytes.count * 8, by: 29) {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      let path = try folder.write(damaged, to: "flipped.h5")
      do {
        let stateDict = try StateDict(contentsOf: path)
        for (key, tensor) in stateDict {
          #expect(tensor == smallStateDict[key], "bit \(bit), \(key)")
        }
      } catch {
        refused += 1
      }
    }
    #expect(refused > 100)
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
}
