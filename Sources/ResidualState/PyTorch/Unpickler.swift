/// A machine for Python's pickles that knows only what files of weights need.
///
/// It reads the opcodes of protocol 2 and the harmless ones up to 5 (Python's Lib/pickletools.py describes them).
/// Names of Python are cases of ``PickleGlobal``; every other is refused. Time and memory are bounded by the pickle's
/// length: no opcode makes more than a few nodes, none repeats another, and containers hold references.
struct Unpickler {
  /// The most values a pickle may describe, whatever its length.
  static let nodeLimit = 10_000_000

  let path: String
  var cursor: ByteCursor
  var graph = PickleGraph()
  /// For each key of a storage the size first claimed for it.
  var storageSizes: [String: Int] = [:]
  /// The pairs that `OrderedDict(pairs)` has copied so far.
  var copiedPairs = 0
  private var stack: [PickleGraph.Reference] = []
  private var marks: [Int] = []
  private var memo: [UInt32: PickleGraph.Reference] = [:]

  private init(_ cursor: ByteCursor, path: String) {
    self.cursor = cursor
    self.path = path
  }

  /// Reads one pickle from `cursor` on, and leaves the cursor behind it.
  static func read(_ cursor: inout ByteCursor, path: String) throws(StateError) -> PickleGraph {
    var unpickler = Unpickler(cursor, path: path)
    while true {
      let code = try unpickler.cursor.byte()
      guard let opcode = PickleOpcode(rawValue: code) else {
        throw unpickler.error(
          .unsupported,
          "uses the opcode 0x\(String(code, radix: 16)), which files of weights do not need: save it "
            + "again with a current PyTorch")
      }
      if opcode == .stop { break }
      try unpickler.run(opcode)
    }
    unpickler.graph.root = try unpickler.pop()
    cursor = unpickler.cursor
    return unpickler.graph
  }

  private mutating func run(_ opcode: PickleOpcode) throws(StateError) {
    switch opcode {
    case .proto, .frame, .pop, .popMark, .duplicate, .mark, .binPut, .longBinPut, .memoize, .binGet, .longBinGet, .stop:
      try manage(opcode)
    case .emptyTuple, .tuple, .tuple1, .tuple2, .tuple3, .emptyList, .list, .append, .appends, .emptyDictionary,
      .dictionary, .setItem, .setItems:
      try collect(opcode)
    case .global:
      let (module, name) = (try cursor.line(), try cursor.line())
      try pushGlobal(String(decoding: module, as: UTF8.self), String(decoding: name, as: UTF8.self))
    case .stackGlobal:
      guard case .string(let name) = graph[try pop()], case .string(let module) = graph[try pop()] else {
        throw error(.corrupt, "names a global by something that is no string")
      }
      try pushGlobal(module, name)
    case .reduce, .newObject:
      let (arguments, callable) = (try pop(), try pop())
      stack.append(try call(callable, arguments))
    case .build:
      let (state, object) = (try pop(), try pop())
      try build(object, state)
      stack.append(object)
    case .binPersistentID: stack.append(try storage(try pop()))
    default: try push(try scalar(opcode))
    }
  }

  /// Runs an opcode that moves values between stack and memo.
  private mutating func manage(_ opcode: PickleOpcode) throws(StateError) {
    switch opcode {
    case .proto:
      let version = try cursor.byte()
      if !(2...5).contains(version) {
        throw error(.unsupported, "has protocol \(version); 2 to 5 are read: save it again with a current PyTorch")
      }
    case .frame: _ = try cursor.skip(8)
    case .pop: _ = try pop()
    case .popMark: _ = try popToMark()
    case .duplicate: stack.append(try top())
    case .mark: marks.append(stack.count)
    case .binPut: memo[UInt32(try cursor.byte())] = try top()
    case .longBinPut: memo[try cursor.integer()] = try top()
    case .memoize: memo[UInt32(memo.count)] = try top()
    default:
      let index = opcode == .binGet ? UInt32(try cursor.byte()) : try cursor.integer()
      guard let reference = memo[index] else {
        throw error(.corrupt, "uses entry \(index) of its memo before it is set")
      }
      stack.append(reference)
    }
  }

  /// Runs an opcode that makes or fills a container.
  private mutating func collect(_ opcode: PickleOpcode) throws(StateError) {
    switch opcode {
    case .emptyTuple: try push(.tuple([]))
    case .tuple: try push(.tuple(try popToMark()))
    case .tuple1: try push(.tuple(try pop(1)))
    case .tuple2: try push(.tuple(try pop(2)))
    case .tuple3: try push(.tuple(try pop(3)))
    case .emptyList: try push(.list([]))
    case .list: try push(.list(try popToMark()))
    case .append: try append(try pop(1))
    case .appends: try append(try popToMark())
    case .emptyDictionary: try push(.dictionary([], isOrdered: false))
    case .dictionary:
      let items = try popToMark()
      try push(.dictionary([], isOrdered: false))
      try setItems(items)
    case .setItem: try setItems(try pop(2))
    default: try setItems(try popToMark())
    }
  }

  private mutating func append(_ items: [PickleGraph.Reference]) throws(StateError) {
    let list = Int(try top())
    guard case .list(var elements) = graph.nodes[list] else { throw error(.corrupt, "appends to what is no list") }
    graph.nodes[list] = .none  // the array is grown in place, not copied
    elements += items
    graph.nodes[list] = .list(elements)
  }

  private mutating func setItems(_ items: [PickleGraph.Reference]) throws(StateError) {
    let dictionary = Int(try top())
    guard case .dictionary(var elements, let isOrdered) = graph.nodes[dictionary], items.count.isMultiple(of: 2) else {
      throw error(.corrupt, "sets items of what is no dict")
    }
    graph.nodes[dictionary] = .none  // the array is grown in place, not copied
    elements += items
    graph.nodes[dictionary] = .dictionary(elements, isOrdered: isOrdered)
  }

  private mutating func pushGlobal(_ module: String, _ name: String) throws(StateError) {
    guard let global = PickleGlobal(module: module, name: name) else {
      throw PickleGlobal.refusal(module: module, name: name, path: path)
    }
    try push(.global(global))
  }
}

extension Unpickler {
  func error(_ code: StateError.Code, _ what: String) -> StateError {
    StateError(code, "the pickle \(what) (at its byte \(cursor.position))", path: path)
  }

  /// Makes a node and returns its number.
  mutating func make(_ node: PickleGraph.Node) throws(StateError) -> PickleGraph.Reference {
    if graph.nodes.count >= Self.nodeLimit {
      throw error(.refused, "describes more than \(Self.nodeLimit) values")
    }
    graph.nodes.append(node)
    return PickleGraph.Reference(graph.nodes.count - 1)
  }

  private mutating func push(_ node: PickleGraph.Node) throws(StateError) { stack.append(try make(node)) }

  private func top() throws(StateError) -> PickleGraph.Reference {
    guard let reference = stack.last, stack.count > marks.last ?? 0 else {
      throw error(.corrupt, "takes more from its stack than is there")
    }
    return reference
  }

  private mutating func pop() throws(StateError) -> PickleGraph.Reference {
    let reference = try top()
    stack.removeLast()
    return reference
  }

  /// The last `count` values in the order they were pushed.
  private mutating func pop(_ count: Int) throws(StateError) -> [PickleGraph.Reference] {
    guard stack.count - count >= marks.last ?? 0 else {
      throw error(.corrupt, "takes more from its stack than is there")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(StateError) -> [PickleGraph.Reference] {
    guard let mark = marks.popLast() else { throw error(.corrupt, "looks for a mark that is not there") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }
}

extension Unpickler {
  /// Reads the value that follows an opcode for a number, a string or bytes.
  private mutating func scalar(_ opcode: PickleOpcode) throws(StateError) -> PickleGraph.Node {
    switch opcode {
    case .none: return .none
    case .newTrue: return .bool(true)
    case .newFalse: return .bool(false)
    case .binInt1: return .int(Int64(try cursor.byte()))
    case .binInt2: return .int(Int64(try cursor.integer(UInt16.self)))
    case .binInt: return .int(Int64(try cursor.integer(Int32.self)))
    case .long1: return Self.wholeNumber(try cursor.take(Int(try cursor.byte())))
    case .long4: return Self.wholeNumber(try cursor.take(try cursor.size(Int32.self)))
    case .binFloat: return .float(Double(bitPattern: UInt64(bigEndian: try cursor.integer())))
    case .shortBinUnicode: return .string(try text(Int(try cursor.byte())))
    case .binUnicode: return .string(try text(try cursor.size(UInt32.self)))
    case .binUnicode8: return .string(try text(try cursor.size(UInt64.self)))
    case .shortBinBytes: return .bytes(Array(try cursor.take(Int(try cursor.byte()))))
    case .binBytes: return .bytes(Array(try cursor.take(try cursor.size(UInt32.self))))
    case .binBytes8, .byteArray8: return .bytes(Array(try cursor.take(try cursor.size(UInt64.self))))
    case .shortBinString: return Self.pythonTwoString(try cursor.take(Int(try cursor.byte())))
    default: return Self.pythonTwoString(try cursor.take(try cursor.size(Int32.self)))
    }
  }

  private mutating func text(_ count: Int) throws(StateError) -> String {
    guard let text = String(validating: try cursor.take(count), as: UTF8.self) else {
      throw error(.corrupt, "holds a string that is not UTF-8")
    }
    return text
  }

  /// Two's complement, little-endian, of any length.
  private static func wholeNumber(_ bytes: ArraySlice<UInt8>) -> PickleGraph.Node {
    if bytes.count > 8 { return .largeInt(Array(bytes)) }
    let isNegative = (bytes.last ?? 0) & 0x80 != 0
    return .int(bytes.reversed().reduce(isNegative ? -1 : 0) { $0 << 8 | Int64($1) })
  }

  /// What Python 2 called a string: text where it is UTF-8.
  private static func pythonTwoString(_ bytes: ArraySlice<UInt8>) -> PickleGraph.Node {
    String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .bytes(Array(bytes))
  }
}
