/// What a pickle describes: nodes that refer to each other by number, so that sharing and cycles cost nothing.
struct PickleGraph {
  /// A node's number.
  typealias Reference = Int32

  /// A value; containers hold the numbers of their elements.
  enum Node {
    case none
    case bool(Bool)
    case int(Int64)
    /// A whole number of more than 64 bits: two's complement, little-endian.
    case largeInt([UInt8])
    case float(Double)
    case string(String)
    case bytes([UInt8])
    case tuple([Reference])
    case list([Reference])
    /// Keys and values in turn.
    case dictionary([Reference], isOrdered: Bool)
    case global(PickleGlobal)
    /// A NumPy type such as `f8`, little-endian.
    case numpyType(String)
    /// An index into ``storages``.
    case storage(Int)
    /// An index into ``tensors``.
    case tensor(Int)
  }

  /// A run of elements somewhere in the file that tensors show.
  struct Storage: Equatable {
    let key: String
    /// The element type, nil for bytes without one.
    let dtype: DataType?
    let byteCount: Int
    /// Where it begins in the bytes of `key`, not 0 only for the views of the legacy format.
    let byteOffset: Int
    /// The bytes of all of `key`.
    let rootByteCount: Int
  }

  /// A view on a storage, checked to lie in it; offset and strides count elements.
  struct Tensor {
    let storage: Int
    let dtype: DataType
    let offset: Int
    let shape: [Int]
    let strides: [Int]
  }

  var nodes: [Node] = []
  var storages: [Storage] = []
  var tensors: [Tensor] = []
  var root: Reference = 0

  subscript(reference: Reference) -> Node { nodes[Int(reference)] }
}

extension PickleGraph.Node {
  /// A word for errors and reports.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .int(let value): "int \(value)"
    case .largeInt: "int"
    case .float(let value): "float \(value)"
    case .string: "str"
    case .bytes: "bytes"
    case .tuple: "tuple"
    case .list: "list"
    case .dictionary: "dict"
    case .global, .numpyType: "type"
    case .storage: "storage"
    case .tensor: "tensor"
    }
  }
}
