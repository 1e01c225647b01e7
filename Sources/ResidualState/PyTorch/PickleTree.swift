/// Turns a graph into a tree, within limits: what is shared is repeated, and a cycle has no end.
struct PickleTree {
  /// The deepest nesting that is followed.
  static let depthLimit = 100

  let graph: PickleGraph
  let tensors: [Int: TensorData]
  let path: String
  private var left: Int

  /// `tensors` are those of the graph by index.
  init(_ graph: PickleGraph, tensors: [Int: TensorData], path: String) {
    self.graph = graph
    self.tensors = tensors
    self.path = path
    let references = graph.nodes.reduce(0) { count, node in
      switch node {
      case .tuple(let items), .list(let items), .dictionary(let items, _): count + items.count
      default: count
      }
    }
    left = min(4 * references + 1000, Unpickler.nodeLimit)
  }

  mutating func value(_ reference: PickleGraph.Reference, depth: Int = 0) throws(StateError) -> PickleValue {
    left -= 1
    if depth > Self.depthLimit || left < 0 {
      throw StateError(
        .refused, "the pickle nests its values more than \(Self.depthLimit) deep, or repeats them without measure",
        path: path)
    }
    switch graph[reference] {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .largeInt(let value): return .largeInt(value)
    case .float(let value): return .float(value)
    case .string(let value): return .string(value)
    case .bytes(let value): return .bytes(value)
    case .tuple(let items): return .tuple(try values(items, depth))
    case .list(let items): return .list(try values(items, depth))
    case .dictionary(let references, let isOrdered):
      let flat = try values(references, depth)
      let items = stride(from: 0, to: flat.count, by: 2).map { PickleValue.Item(key: flat[$0], value: flat[$0 + 1]) }
      return isOrdered ? .orderedDictionary(items) : .dictionary(items)
    case .global(.dataType(let dtype)): return .string("torch.\(dtype.rawValue)")
    case .tensor(let index):
      guard let tensor = tensors[index] else { break }
      return .tensor(tensor)
    case .global, .numpyType, .storage: break
    }
    throw StateError(
      .unsupported, "the file holds a \(graph[reference].kind) where a value is expected", path: path)
  }

  private mutating func values(
    _ references: [PickleGraph.Reference], _ depth: Int
  ) throws(StateError) -> [PickleValue] {
    var values: [PickleValue] = []
    for reference in references { values.append(try value(reference, depth: depth + 1)) }
    return values
  }
}
