extension TensorData {
  /// The elements cast to another type, as `tensor.to(dtype)` does in PyTorch.
  ///
  /// Floating-point numbers are rounded to nearest even when they get narrower and cut towards zero when they become
  /// integers, where NaN becomes 0 and what does not fit the nearest value that does. Integers keep their low bits.
  /// Anything but zero is true.
  public func converted(to target: DataType) -> TensorData {
    if target == dtype { return self }
    return TensorData(dtype: target, shape: shape) { output in
      withUnsafeBytes { input in
        if dtype.isFloatingPoint || target.isFloatingPoint {
          Self.convert(input, dtype, output, target, count, through: Double.self)
        } else {
          Self.convert(input, dtype, output, target, count, through: Int64.self)
        }
      }
    }
  }

  /// The elements as Swift numbers, row-major, cast as ``converted(to:)`` casts them.
  public func scalars<T: TensorScalar>(as type: T.Type = T.self) -> [T] {
    let data = converted(to: T.dataType)
    return [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      data.withUnsafeBytes { UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0) }
      initialized = count
    }
  }

  /// Converts in pieces small enough for the first-level cache: through double where a real number takes part
  /// (which rounds integers beyond 2^53), through 64 bits where none does.
  private static func convert<M: ConversionIntermediate>(
    _ input: UnsafeRawBufferPointer, _ source: DataType, _ output: UnsafeMutableRawBufferPointer,
    _ target: DataType, _ count: Int, through: M.Type
  ) {
    let step = 1024
    withUnsafeTemporaryAllocation(of: M.self, capacity: step) { piece in
      for start in stride(from: 0, to: count, by: step) {
        let n = min(step, count - start)
        let from = UnsafeRawBufferPointer(rebasing: input[(start * source.byteCount)...])
        let to = UnsafeMutableRawBufferPointer(rebasing: output[(start * target.byteCount)...])
        decode(from, source, into: piece, n)
        encode(piece, n, into: to, target)
      }
    }
  }

  private static func decode<M: ConversionIntermediate>(
    _ bytes: UnsafeRawBufferPointer, _ dtype: DataType, into values: UnsafeMutableBufferPointer<M>, _ n: Int
  ) {
    func each<T: BitwiseCopyable>(_: T.Type, _ make: (T) -> M) {
      for i in 0..<n { values[i] = make(bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<T>.size, as: T.self)) }
    }
    switch dtype {
    case .float16: each(UInt16.self) { M(real: Double(Float16(bitPattern: $0))) }
    case .bfloat16: each(UInt16.self) { M(real: Double(Float(bitPattern: UInt32($0) << 16))) }
    case .float32: each(Float.self) { M(real: Double($0)) }
    case .float64: each(Double.self) { M(real: $0) }
    case .int8: each(Int8.self) { M(integer: $0) }
    case .int16: each(Int16.self) { M(integer: $0) }
    case .int32: each(Int32.self) { M(integer: $0) }
    case .int64: each(Int64.self) { M(integer: $0) }
    case .uint8: each(UInt8.self) { M(integer: $0) }
    case .uint16: each(UInt16.self) { M(integer: $0) }
    case .uint32: each(UInt32.self) { M(integer: $0) }
    case .uint64: each(UInt64.self) { M(integer: $0) }
    case .bool: each(UInt8.self) { M(integer: $0 == 0 ? 0 : 1 as UInt8) }
    }
  }

  private static func encode<M: ConversionIntermediate>(
    _ values: UnsafeMutableBufferPointer<M>, _ n: Int, into bytes: UnsafeMutableRawBufferPointer, _ dtype: DataType
  ) {
    func each<T: BitwiseCopyable>(_ make: (M) -> T) {
      for i in 0..<n { bytes.storeBytes(of: make(values[i]), toByteOffset: i * MemoryLayout<T>.size, as: T.self) }
    }
    switch dtype {
    case .float16: each { Float16($0.real).bitPattern }
    case .bfloat16: each { bfloat16Bits(Float($0.real)) }
    case .float32: each { Float($0.real) }
    case .float64: each { $0.real }
    case .int8: each { $0.integer(Int8.self) }
    case .int16: each { $0.integer(Int16.self) }
    case .int32: each { $0.integer(Int32.self) }
    case .int64: each { $0.integer(Int64.self) }
    case .uint8: each { $0.integer(UInt8.self) }
    case .uint16: each { $0.integer(UInt16.self) }
    case .uint32: each { $0.integer(UInt32.self) }
    case .uint64: each { $0.integer(UInt64.self) }
    case .bool: each { $0.isZero ? 0 : 1 as UInt8 }
    }
  }

  /// The upper half of a float's bits, rounded to nearest even; NaN stays NaN.
  private static func bfloat16Bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(bits >> 16) | 0x40 }
    return UInt16((UInt64(bits) + 0x7FFF + UInt64((bits >> 16) & 1)) >> 16)
  }
}

/// What elements pass through on their way from one type to another.
private protocol ConversionIntermediate: BitwiseCopyable {
  init(real: Double)
  init<I: FixedWidthInteger>(integer: I)
  var real: Double { get }
  var isZero: Bool { get }
  func integer<I: FixedWidthInteger>(_: I.Type) -> I
}

extension Double: ConversionIntermediate {
  fileprivate init(real: Double) { self = real }
  fileprivate init<I: FixedWidthInteger>(integer: I) { self = Double(integer) }
  fileprivate var real: Double { self }
  fileprivate func integer<I: FixedWidthInteger>(_: I.Type) -> I {
    if isNaN { return 0 }
    if self >= Double(I.max) { return I.max }
    if self <= Double(I.min) { return I.min }
    return I(self)
  }
}

extension Int64: ConversionIntermediate {
  fileprivate init(real: Double) { self = real.integer(Int64.self) }
  fileprivate init<I: FixedWidthInteger>(integer: I) { self = Int64(truncatingIfNeeded: integer) }
  fileprivate var real: Double { Double(self) }
  fileprivate var isZero: Bool { self == 0 }
  fileprivate func integer<I: FixedWidthInteger>(_: I.Type) -> I { I(truncatingIfNeeded: self) }
}
