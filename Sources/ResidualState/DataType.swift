/// The type of a tensor's elements, named as PyTorch names it.
public enum DataType: String, Sendable, CaseIterable, Codable {
  case float16, bfloat16, float32, float64
  case int8, int16, int32, int64
  case uint8, uint16, uint32, uint64
  case bool

  /// The bytes one element takes.
  public var byteCount: Int {
    switch self {
    case .int8, .uint8, .bool: 1
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float32, .int32, .uint32: 4
    case .float64, .int64, .uint64: 8
    }
  }

  /// Whether elements are floating-point numbers.
  public var isFloatingPoint: Bool {
    switch self {
    case .float16, .bfloat16, .float32, .float64: true
    default: false
    }
  }

  /// The bytes a tensor of this type and shape takes, or nil where the shape is negative or the product overflows.
  public func byteCount(ofShape shape: [Int]) -> Int? {
    var total = byteCount
    for size in shape {
      let (product, overflow) = total.multipliedReportingOverflow(by: size)
      if size < 0 || overflow { return nil }
      total = product
    }
    return total
  }
}

/// A Swift number that is stored in a tensor as it is in memory.
public protocol TensorScalar: Sendable, BitwiseCopyable {
  /// The element type that holds such numbers.
  static var dataType: DataType { get }
}

extension Float: TensorScalar {
  /// Stored as `float32`.
  public static var dataType: DataType { .float32 }
}

extension Double: TensorScalar {
  /// Stored as `float64`.
  public static var dataType: DataType { .float64 }
}

extension Int8: TensorScalar {
  /// Stored as `int8`.
  public static var dataType: DataType { .int8 }
}

extension Int16: TensorScalar {
  /// Stored as `int16`.
  public static var dataType: DataType { .int16 }
}

extension Int32: TensorScalar {
  /// Stored as `int32`.
  public static var dataType: DataType { .int32 }
}

extension Int64: TensorScalar {
  /// Stored as `int64`.
  public static var dataType: DataType { .int64 }
}

extension UInt8: TensorScalar {
  /// Stored as `uint8`.
  public static var dataType: DataType { .uint8 }
}

extension UInt16: TensorScalar {
  /// Stored as `uint16`.
  public static var dataType: DataType { .uint16 }
}

extension UInt32: TensorScalar {
  /// Stored as `uint32`.
  public static var dataType: DataType { .uint32 }
}

extension UInt64: TensorScalar {
  /// Stored as `uint64`.
  public static var dataType: DataType { .uint64 }
}
