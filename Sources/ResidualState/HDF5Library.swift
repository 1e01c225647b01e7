import CHDF5
import Synchronization

/// libhdf5 behind one lock and with its failures thrown.
///
/// libhdf5 is not safe to use from two threads, not even on two files, so the lock is held from opening a file to
/// closing it; tensors' bytes are read and written without it.
enum HDF5Library {
  private static let lock = Mutex(())

  /// Runs `body` with the lock held and libhdf5 neither printing errors nor loading plugins.
  static func withLock<R: Sendable>(_ body: () throws(StateError) -> R) throws(StateError) -> R {
    let result = lock.withLock { _ in
      Result { () throws(StateError) in
        defer { chdf5_leave() }
        try check(chdf5_enter(), .unreadable, "libhdf5 cannot be used")
        return try body()
      }
    }
    return try result.get()
  }

  /// Throws what libhdf5 says where `result` is a failure.
  static func check(
    _ result: Int32, _ code: StateError.Code, _ message: String, key: String? = nil, path: String? = nil
  ) throws(StateError) {
    if result < 0 {
      throw StateError(code, message, key: key, path: path, cause: String(cString: chdf5_error()))
    }
  }

  /// The attribute that holds a dataset's position in its state dict and its ``TensorChecksum``.
  static let note = "residual_position_crc32c"
  /// The attribute of a group that holds how many tensors, or in the reserved group how many groups, were written to it.
  static let count = "residual_tensors"
  /// The group at the root that holds what is not the model's.
  static let reservedGroup = "residual"
  /// The attribute that tells our reserved group from a model's module of that name.
  static let formatAttribute = "residual_format"
  /// The form of file this library writes.
  static let format = "1"
  /// The most entries a file may have, written or read.
  static let entryLimit = 100_000
}

extension DataType {
  /// The type in the shim's words.
  var chdf5: chdf5_type {
    switch self {
    case .float16: CHDF5_FLOAT16
    case .bfloat16: CHDF5_BFLOAT16
    case .float32: CHDF5_FLOAT32
    case .float64: CHDF5_FLOAT64
    case .int8: CHDF5_INT8
    case .int16: CHDF5_INT16
    case .int32: CHDF5_INT32
    case .int64: CHDF5_INT64
    case .uint8: CHDF5_UINT8
    case .uint16: CHDF5_UINT16
    case .uint32: CHDF5_UINT32
    case .uint64: CHDF5_UINT64
    case .bool: CHDF5_BOOL
    }
  }

  /// The type of the shim's name, nil for one that no tensor has.
  init?(_ type: chdf5_type) {
    guard let match = DataType.allCases.first(where: { $0.chdf5 == type }) else { return nil }
    self = match
  }
}
