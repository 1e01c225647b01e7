import Testing

@testable import ResidualState

@Suite struct TensorDataTests {
  @Test func keepsItsValuesRowMajor() {
    let tensor = counting(2, 3)
    #expect(tensor.shape == [2, 3])
    #expect(tensor.dtype == .float32)
    #expect(tensor.byteCount == 24)
    #expect(tensor.scalars(as: Float.self) == [0, 1, 2, 3, 4, 5])
    #expect(tensor.withUnsafeBytes { Array($0.prefix(8)) } == [0, 0, 0, 0, 0, 0, 0x80, 0x3F])
  }

  @Test func emptyAndScalarTensors() {
    #expect(counting(0, 3).count == 0)
    #expect(TensorData([2.5], shape: []).scalars(as: Double.self) == [2.5])
  }

  @Test func equalityIsOfBytes() {
    #expect(counting(2, 3) == counting(2, 3))
    #expect(counting(2, 3) != counting(3, 2))
    #expect(TensorData([Float.nan], shape: [1]) == TensorData([Float.nan], shape: [1]))
    #expect(TensorData([Float(0)], shape: [1]) != TensorData([-Float(0)], shape: [1]))
    #expect(counting(2) != TensorData([Int32(0), 1], shape: [2]))
  }

  @Test func byteCountOfImpossibleShapesIsNil() {
    #expect(DataType.float32.byteCount(ofShape: [2, 3]) == 24)
    #expect(DataType.float32.byteCount(ofShape: []) == 4)
    #expect(DataType.float64.byteCount(ofShape: [-1]) == nil)
    #expect(DataType.float64.byteCount(ofShape: [1 << 61]) == nil)
    #expect(DataType.float64.byteCount(ofShape: [1 << 40, 1 << 40]) == nil)
  }

  /// Bit patterns from IEEE 754's definition of binary16 and from bfloat16 being the upper half of binary32.
  @Test(arguments: [
    (1.0, 0x3C00, 0x3F80), (-2.5, 0xC100, 0xC020), (65504, 0x7BFF, 0x4780), (1e6, 0x7C00, 0x4974),
    (5.960464477539063e-08, 0x0001, 0x3380), (1.00390625, 0x3C04, 0x3F80), (1.01171875, 0x3C0C, 0x3F82),
    (.infinity, 0x7C00, 0x7F80),
  ])
  func narrowFloats(value: Double, half: Int, brain: Int) {
    let tensor = TensorData([value], shape: [1])
    func bits(_ dtype: DataType) -> Int {
      tensor.converted(to: dtype).withUnsafeBytes { Int($0[0]) | Int($0[1]) << 8 }
    }
    #expect(bits(.float16) == half)
    #expect(bits(.bfloat16) == brain)
  }

  @Test func nanStaysNaN() {
    let nan = TensorData([Double.nan], shape: [1])
    for dtype in [DataType.float16, .bfloat16, .float32] {
      #expect(nan.converted(to: dtype).scalars(as: Double.self)[0].isNaN)
    }
    #expect(nan.converted(to: .int64).scalars(as: Int64.self) == [0])
  }

  @Test func integersKeepTheirLowBitsAndFloatsAreCut() {
    #expect(TensorData([Int64(258), -1], shape: [2]).scalars(as: UInt8.self) == [2, 255])
    #expect(TensorData([UInt64.max], shape: [1]).scalars(as: Int64.self) == [-1])
    #expect(TensorData([2.9, -2.9, 1e10], shape: [3]).scalars(as: Int32.self) == [2, -2, Int32.max])
    #expect(TensorData([Int64.max, Int64.min + 1], shape: [2]).scalars(as: Int64.self) == [.max, .min + 1])
    #expect(TensorData([0.0, 0.5], shape: [2]).converted(to: .bool).scalars(as: UInt8.self) == [0, 1])
  }

  @Test(arguments: DataType.allCases, DataType.allCases)
  func smallNumbersSurviveEveryCast(from: DataType, to: DataType) {
    let expected: [Double] = from == .bool || to == .bool ? [0, 1] : [0, 1, 2, 3, 100]
    let tensor = TensorData(expected, shape: [expected.count]).converted(to: from).converted(to: to)
    #expect(tensor.dtype == to)
    #expect(tensor.scalars(as: Double.self) == expected)
  }

  @Test func castsReachPastOnePiece() {
    let values = (0..<5000).map(Double.init)
    #expect(TensorData(values, shape: [5000]).converted(to: .float32).scalars(as: Double.self) == values)
  }
}

@Suite struct StateDictTests {
  @Test func keepsTheOrderOfKeys() {
    var stateDict: StateDict = ["b": counting(1), "a": counting(2)]
    stateDict["c"] = counting(3)
    stateDict["b"] = counting(4)
    #expect(stateDict.keys == ["b", "a", "c"])
    #expect(stateDict.map(\.value.count) == [4, 2, 3])
    stateDict["a"] = nil
    #expect(stateDict.keys == ["b", "c"])
  }

  @Test func parametersAreCountedWithoutBuffers() {
    var stateDict = smallStateDict
    stateDict["bn1.running_mean"] = counting(4)
    stateDict["bn1.running_var"] = counting(4)
    #expect(stateDict.parameterCount == 36 + 4 + 40 + 10)
  }
}
