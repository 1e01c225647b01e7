import Testing

@testable import ResidualState

@Suite struct LoadPlanTests {
  private let expected: [LoadPlan.Expected] = smallStateDict.map { key, tensor in
    .init(key: key, shape: tensor.shape, dtype: tensor.dtype, isOptionalCounter: key.hasSuffix("num_batches_tracked"))
  }

  private func plan(
    _ stateDict: StateDict, _ options: LoadOptions = .strict, expecting: [LoadPlan.Expected]? = nil
  ) throws -> LoadPlan {
    try LoadPlan(for: expecting ?? expected, from: stateDict, options: options, model: "SmallNet")
  }

  private func error(
    _ stateDict: StateDict, _ options: LoadOptions = .strict, expecting: [LoadPlan.Expected]? = nil
  ) -> StateError? {
    stateError { _ = try plan(stateDict, options, expecting: expecting) }
  }

  private func renamed(_ rename: (String) -> String) -> StateDict {
    StateDict(uniqueKeysWithValues: smallStateDict.map { (rename($0.key), $0.value) })
  }

  @Test func equalStateDictLoadsWhole() throws {
    let plan = try plan(smallStateDict)
    #expect(plan.entries.map(\.key) == smallStateDict.keys)
    #expect(plan.entries.map(\.tensor) == smallStateDict.map { $0.value })
    #expect(plan.report.loaded == smallStateDict.keys)
    #expect(plan.report.description == "loaded 5 tensors")
  }

  @Test func missingAndUnexpectedKeysInPyTorchsWords() {
    var stateDict = smallStateDict
    stateDict["fc.bias"] = nil
    stateDict["fc.baes"] = counting(10)
    let error = error(stateDict)
    #expect(error?.code == .missingKeys)
    #expect(error?.key == "fc.bias")
    #expect(
      error?.message == """
        Error(s) in loading state_dict for SmallNet:
        \tMissing key(s) in state_dict: "fc.bias".
        \tUnexpected key(s) in state_dict: "fc.baes".
        \t"fc.bias" is missing, the file has "fc.baes". Did you mean that one? Load with renaming.
        """)
  }

  @Test func missingKeysMayBeIgnoredAndAreReported() throws {
    var stateDict = smallStateDict
    stateDict["fc.bias"] = nil
    let plan = try plan(stateDict, LoadOptions(ignoringMissing: true))
    #expect(plan.report.missing == ["fc.bias"])
    #expect(plan.entries.last?.tensor == nil)
    #expect(plan.report.loaded.count == 4)
  }

  @Test func unexpectedKeysMayBeIgnoredAndAreReported() throws {
    var stateDict = smallStateDict
    stateDict["extra"] = counting(1)
    #expect(error(stateDict)?.code == .unexpectedKeys)
    #expect(try plan(stateDict, LoadOptions(ignoringUnexpected: true)).report.unexpected == ["extra"])
    #expect(error(stateDict, LoadOptions(skippingMismatched: true, ignoringMissing: true))?.code == .unexpectedKeys)
  }

  @Test func aWrongShapeIsNamedWithBothShapesAndTheWayOut() throws {
    var stateDict = smallStateDict
    stateDict["fc.weight"] = counting(1000, 4)
    stateDict["fc.bias"] = counting(1000)
    let error = error(stateDict)
    #expect(error?.code == .shapeMismatch)
    #expect(
      error?.message.contains(
        "size mismatch for fc.weight: copying a param with shape [1000, 4] from checkpoint, "
          + "the shape in current model is [10, 4].") == true)
    #expect(error?.message.contains("load with replacing: [\"fc\"]") == true)
    let plan = try plan(stateDict, LoadOptions(replacing: ["fc"]))
    #expect(plan.report.replaced == ["fc.weight", "fc.bias"])
    #expect(plan.entries.filter { $0.tensor == nil }.map(\.key) == ["fc.weight", "fc.bias"])
    #expect(plan.report.description.contains("replaced, left as in the model (2): fc.weight, fc.bias"))
    #expect(
      try self.plan(stateDict, LoadOptions(skippingMismatched: true)).report.mismatched == ["fc.weight", "fc.bias"])
  }

  @Test func shapesAreNeverBroadcast() {
    var stateDict = smallStateDict
    stateDict["fc.bias"] = counting(1)
    #expect(error(stateDict)?.code == .shapeMismatch)
    stateDict["fc.bias"] = counting(10, 1)
    #expect(error(stateDict)?.code == .shapeMismatch)
  }

  @Test func replacingKeepsTheRestStrict() {
    var stateDict = smallStateDict
    stateDict["fc.bias"] = nil
    stateDict["bn1.weight"] = nil
    #expect(error(stateDict, LoadOptions(replacing: ["fc"]))?.key == "bn1.weight")
    #expect(error(smallStateDict, LoadOptions(replacing: ["f"]))?.code == .invalidOptions)
    #expect(
      error(smallStateDict, LoadOptions(replacing: ["conv2"]))?.message.contains("Did you mean \"conv1\"") == true)
  }

  @Test func aStemIsSummedOverItsInputChannels() throws {
    var stateDict = smallStateDict
    stateDict["conv1.weight"] = counting(4, 3, 3, 3)
    let error = error(stateDict)
    #expect(error?.message.contains("load with adapting: [\"conv1\"]") == true)
    let plan = try plan(stateDict, LoadOptions(adapting: ["conv1"]))
    // Of 0, 1, 2, …: element k of output o is (27 o + k) + (27 o + k + 9) + (27 o + k + 18).
    let sums = (0..<4).flatMap { o in (0..<9).map { k in Float(3 * (27 * o + k) + 27) } }
    #expect(plan.entries[0].tensor == TensorData(sums, shape: [4, 1, 3, 3]))
    #expect(plan.report.adapted == [.init(key: "conv1.weight", from: [4, 3, 3, 3], to: [4, 1, 3, 3])])
  }

  @Test func aStemIsSpreadOverThreeChannels() throws {
    let three = [LoadPlan.Expected(key: "conv1.weight", shape: [2, 3, 1, 2], dtype: .float32)]
    let plan = try plan(
      ["conv1.weight": TensorData([Float(3), 6, 9, 12], shape: [2, 1, 1, 2])], LoadOptions(adapting: ["conv1"]),
      expecting: three)
    #expect(plan.entries[0].tensor?.scalars(as: Float.self) == [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4])
  }

  @Test func adaptingChangesNothingButInputChannels() {
    var stateDict = smallStateDict
    stateDict["conv1.weight"] = counting(4, 3, 5, 5)
    #expect(error(stateDict, LoadOptions(adapting: ["conv1"]))?.code == .shapeMismatch)
    stateDict["conv1.weight"] = counting(8, 3, 3, 3)
    #expect(error(stateDict, LoadOptions(adapting: ["conv1"]))?.code == .shapeMismatch)
  }

  @Test func anotherTypeIsCastOnlyOnRequest() throws {
    var stateDict = smallStateDict
    stateDict["fc.bias"] = smallStateDict["fc.bias"]?.converted(to: .float16)
    stateDict["bn1.num_batches_tracked"] = TensorData([Int32(7)], shape: [])
    let error = error(stateDict)
    #expect(error?.code == .dtypeMismatch)
    #expect(error?.message.contains("the dtype in current model is float32") == true)
    #expect(error?.message.contains("casting: true") == true)
    let plan = try plan(stateDict, LoadOptions(casting: true))
    #expect(plan.entries.map(\.tensor) == smallStateDict.map { $0.value })
    #expect(plan.report.cast.map(\.key) == ["bn1.num_batches_tracked", "fc.bias"])
    stateDict["fc.bias"] = TensorData((0..<10).map { Int64($0) }, shape: [10])
    #expect(self.error(stateDict, LoadOptions(casting: true))?.code == .dtypeMismatch)
  }

  @Test func aMissingCounterIsZeroAndReported() throws {
    var stateDict = smallStateDict
    stateDict["bn1.num_batches_tracked"] = nil
    let plan = try plan(stateDict)
    #expect(plan.report.zeroed == ["bn1.num_batches_tracked"])
    #expect(plan.entries[2].tensor == TensorData([Int64(0)], shape: []))
  }

  @Test func aCounterOfOneElementIsAScalar() throws {
    var stateDict = smallStateDict
    stateDict["bn1.num_batches_tracked"] = TensorData([Int64(9)], shape: [1])
    #expect(try plan(stateDict).entries[2].tensor == TensorData([Int64(9)], shape: []))
  }

  @Test func aPrefixIsOfferedAndStrippedOnRequest() throws {
    let wrapped = renamed { "module." + $0 }
    #expect(error(wrapped)?.message.contains("load with strippingPrefix: \"module.\"") == true)
    let plan = try plan(wrapped, LoadOptions(strippingPrefix: "module."))
    #expect(plan.entries.map(\.tensor) == smallStateDict.map { $0.value })
    #expect(plan.report.renamed.count == 5)
    #expect(plan.report.renamed.first == .init(from: "module.conv1.weight", to: "conv1.weight"))
  }

  @Test func keysAreRenamedOnRequest() throws {
    let foreign = renamed { $0.hasPrefix("fc.") ? "head" + $0.dropFirst(2) : $0 }
    let options = LoadOptions(renaming: { $0.hasPrefix("head.") ? "fc" + $0.dropFirst(4) : $0 })
    #expect(try plan(foreign, options).report.renamed.map(\.from) == ["head.weight", "head.bias"])
    #expect(error(smallStateDict, LoadOptions(renaming: { _ in "same" }))?.code == .invalidOptions)
  }

  @Test func longListsAreCutAtTen() {
    let many = (0..<25).map { LoadPlan.Expected(key: "k\($0)", shape: [1], dtype: .float32) }
    #expect(error([:], expecting: many)?.message.contains("\"k9\" and 15 more.") == true)
  }
}
