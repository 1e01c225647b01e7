/// Where the elements of an array lie when they are not row-major: strides count elements.
struct StridedLayout {
  let shape: [Int]
  let strides: [Int]
  let elementSize: Int

  /// Writes the elements row-major; `bytes` begin with the first element, `output` has room for all and is not empty.
  func gather(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
    switch elementSize {
    case 1: gather(bytes, into: output, as: UInt8.self)
    case 2: gather(bytes, into: output, as: UInt16.self)
    case 4: gather(bytes, into: output, as: UInt32.self)
    default: gather(bytes, into: output, as: UInt64.self)
    }
  }

  private func gather<T: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, as type: T.Type
  ) {
    let (rowLength, rowStride) = (shape.last ?? 1, (strides.last ?? 1) * elementSize)
    var index = [Int](repeating: 0, count: max(shape.count - 1, 0))
    var source = 0
    for row in stride(from: 0, to: output.count, by: rowLength * elementSize) {
      for i in 0..<rowLength {
        let element = bytes.loadUnaligned(fromByteOffset: source + i * rowStride, as: type)
        output.storeBytes(of: element, toByteOffset: row + i * elementSize, as: type)
      }
      // To the next row: the last index goes up, and carries.
      for axis in index.indices.reversed() {
        index[axis] += 1
        source += strides[axis] * elementSize
        if index[axis] < shape[axis] { break }
        source -= index[axis] * strides[axis] * elementSize
        index[axis] = 0
      }
    }
  }
}
