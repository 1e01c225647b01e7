import Testing

@testable import ResidualState

/// Files that h5py wrote; see tools/reference/make_state_fixtures.py.
@Suite struct HDF5ReadingTests {
  private func read(_ name: String, _ options: StateDict.ReadOptions = .init()) throws -> StateDict {
    try StateDict(contentsOf: fixture(name), options: options)
  }

  @Test func everyType() throws {
    let stateDict = try read("types")
    let types: [String: DataType] = [
      "f2": .float16, "f4": .float32, "f8": .float64, "bf16": .bfloat16, "bool": .bool, "i1": .int8, "i2": .int16,
      "i4": .int32, "i8": .int64, "u1": .uint8, "u2": .uint16, "u4": .uint32, "u8": .uint64,
    ]
    #expect(Set(stateDict.keys) == Set(types.keys))
    for (key, tensor) in stateDict {
      #expect(tensor.dtype == types[key])
      #expect(tensor.shape == [2, 3])
      #expect(tensor.scalars(as: Double.self) == (key == "bool" ? [0, 1, 0, 1, 0, 1] : [0, 1, 2, 3, 4, 5]))
    }
  }

  @Test func everyShape() throws {
    let stateDict = try read("shapes")
    #expect(stateDict["scalar"] == TensorData([Int64(7)], shape: []))
    #expect(stateDict["one"] == counting(1))
    #expect(stateDict["empty"] == counting(0, 3))
    #expect(stateDict["weight"] == counting(4, 3, 2, 2))
  }

  @Test func eitherByteOrder() throws {
    let stateDict = try read("big-endian")
    #expect(stateDict.count == 9)
    for (_, tensor) in stateDict { #expect(tensor.scalars(as: Double.self) == [0, 1, 2, 3, 4]) }
    #expect(try read("compact")["weight"] == counting(5))
  }

  @Test func nestedGroupsAreJoinedByDots() throws {
    let stateDict = try read("nested")
    #expect(
      stateDict.keys == [
        "conv1.weight", "layer1.0.bn1.running_mean", "layer1.0.bn1.num_batches_tracked", "residual.weight",
      ])
    #expect(stateDict["conv1.weight"] == counting(2, 1, 3, 3))
    #expect(stateDict["layer1.0.bn1.num_batches_tracked"] == TensorData([Int64(7)], shape: []))
  }

  @Test func keysComeInTheOrderTheyWereMade() throws {
    let order = ["conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias", "a"]
    #expect(try read("order").keys == order)
    #expect(try read("tracked-order").keys == (0..<12).reversed().map { "layer\($0).weight" })
  }

  @Test(arguments: ["latest", "tracked-order"])
  func newerFormsOfTheFormat(name: String) throws {
    let stateDict = try read(name)
    #expect(stateDict.count == 12)
    for (_, tensor) in stateDict { #expect(tensor == counting(2)) }
  }

  @Test func aUsersBlockIsSkipped() throws {
    #expect(try read("user-block") == ["weight": counting(2, 2)])
  }

  @Test func stringsOfFixedLengthAreMetadata() throws {
    let stateDict = try read("attributes")
    #expect(stateDict.metadata == ["note": "of a fixed length"])
    #expect(stateDict["weight"] == counting(2))
  }

  @Test func filtersAreReadWhenAllowed() throws {
    let options = StateDict.ReadOptions(allowingFilters: true)
    #expect(try read("refused-gzip", options)["weight"] == counting(40, 40))
    #expect(try read("refused-chunked", options)["weight"] == counting(40))
    for name in ["refused-lzf", "refused-scale-offset"] {
      let error = stateError { _ = try read(name, options) }
      #expect(error?.code == .refused)
      #expect(error?.message.contains("has a filter that is not read") == true)
    }
  }

  @Test func aCompressedClaimIsBoundedByTheFile() {
    let error = stateError { _ = try read("refused-bomb", StateDict.ReadOptions(allowingFilters: true)) }
    #expect(error?.code == .corrupt)
    #expect(error?.message.contains("\"weight\" claims 4398046511104 bytes") == true)
  }
}
