import Foundation

/// One tensor as bytes: row-major in PyTorch's logical order, little-endian, never changing.
///
/// Copies share the bytes, so passing one around costs nothing.
public struct TensorData: Sendable {
  /// The type of the elements.
  public let dtype: DataType
  /// The sizes along each axis, outermost first; empty for a scalar.
  public let shape: [Int]
  private let storage: TensorStorage
  private let offset: Int

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The number of bytes.
  public var byteCount: Int { count * dtype.byteCount }

  /// Makes a tensor of the values given, row-major.
  ///
  /// A count that is not the product of the shape is a programmer's mistake.
  public init<T: TensorScalar>(_ values: [T], shape: [Int]) {
    precondition(
      values.count == shape.reduce(1, *), "TensorData: \(values.count) values do not fill the shape \(shape)")
    self.init(dtype: T.dataType, shape: shape) { bytes in
      values.withUnsafeBytes { bytes.copyMemory(from: $0) }
    }
  }

  /// Makes a tensor whose bytes `initializing` writes; the buffer it is given is not cleared.
  ///
  /// Rethrows what `initializing` throws. A negative or overflowing shape is a programmer's mistake: whoever reads
  /// shapes from a file checks them with ``DataType/byteCount(ofShape:)`` first.
  public init(
    dtype: DataType, shape: [Int], initializing: (UnsafeMutableRawBufferPointer) throws -> Void
  ) rethrows {
    let byteCount = Self.checkedByteCount(dtype, shape)
    self.init(
      dtype: dtype, shape: shape, storage: try TensorStorage(byteCount: byteCount, initializing: initializing))
  }

  /// Shows the bytes of `storage` from `offset` on as a tensor.
  init(dtype: DataType, shape: [Int], storage: TensorStorage, offset: Int = 0) {
    let byteCount = Self.checkedByteCount(dtype, shape)
    precondition(
      offset >= 0 && byteCount <= storage.bytes.count - offset,
      "TensorData: \(byteCount) bytes at \(offset) lie outside a storage of \(storage.bytes.count)")
    self.dtype = dtype
    self.shape = shape
    self.storage = storage
    self.offset = offset
  }

  /// The same elements under another shape of as many.
  public func reshaped(_ shape: [Int]) -> TensorData {
    precondition(shape.reduce(1, *) == count, "TensorData: \(self.shape) cannot be reshaped to \(shape)")
    return TensorData(dtype: dtype, shape: shape, storage: storage, offset: offset)
  }

  /// Calls `body` with the bytes, which are valid only during the call.
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(storage) {
      try body(UnsafeRawBufferPointer(rebasing: storage.bytes[offset..<offset + byteCount]))
    }
  }

  private static func checkedByteCount(_ dtype: DataType, _ shape: [Int]) -> Int {
    guard let byteCount = dtype.byteCount(ofShape: shape) else {
      preconditionFailure("TensorData: no tensor has the shape \(shape)")
    }
    return byteCount
  }
}

extension TensorData: Equatable {
  /// Whether type, shape and every byte are equal; two NaNs of the same bits are, 0 and -0 are not.
  public static func == (a: TensorData, b: TensorData) -> Bool {
    guard a.dtype == b.dtype, a.shape == b.shape else { return false }
    return a.withUnsafeBytes { left in b.withUnsafeBytes { right in left.elementsEqualBytes(right) } }
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func elementsEqualBytes(_ other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let left = baseAddress, let right = other.baseAddress, left != right else { return true }
    return memcmp(left, right, count) == 0
  }
}
