import CKernels
import Synchronization

/// A leaf's gradient that somebody waits for, one of several.
struct AwaitedGradient {
  private var index: Int?
  /// Elements of the largest of them.
  let largest: Int

  init(index: Int, largest: Int) {
    self.index = index
    self.largest = largest
  }

  /// Its index among them, once.
  mutating func takeIndex() -> Int? {
    defer { index = nil }
    return index
  }
}

/// A point in the record of a computation: where a gradient arrives and how it goes on to the inputs.
///
/// A node without `propagate` is a leaf: it keeps its gradient. Other nodes lose theirs, and everything they have
/// captured unless it is retained, as soon as `backward` has passed.
public final class Node {
  /// Receives the gradient of the node's tensor and passes it on to its inputs.
  typealias Propagate = (Tensor) -> Void

  private static let counter = Atomic<Int>(0)
  /// The number of the node that was made last, on any thread.
  static var lastNumber: Int { counter.load(ordering: .relaxed) }

  private static let walks = Atomic<Int>(0)
  /// The number of a walk along the record.
  static func newWalk() -> Int { walks.wrappingAdd(1, ordering: .relaxed).newValue }

  /// Stands in for what an outline has not kept.
  static let refuse: @Sendable (Tensor) -> Void = { _ in
    preconditionFailure("backward: inside recomputing nothing can be differentiated; call backward on its result")
  }

  let number: Int
  let shape: [Int]
  let isLeaf: Bool
  private(set) var inputs: [Node]
  private var propagate: Propagate?
  /// The one place where a parameter's gradient lives; nil for every other node.
  private let home: Storage?
  /// For gradients that do not go home, but to memory that they take in turns, until somebody who waits for them has used
  /// them up.
  var awaited: AwaitedGradient?
  private var lastWalk = 0
  private var received: Storage?
  /// Where what was received is zero and has not been written: it is cleared before somebody looks there.
  private var unwritten: [Range<Int>] = []
  /// Whether tasks that were handed out may still be computing what was received.
  private var isPending = false

  /// A leaf.
  ///
  /// With `home`, gradients are written there, so that references to the gradient stay valid.
  init(leafOf shape: [Int], home: Storage? = nil) {
    number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    self.shape = shape
    self.home = home
    inputs = []
    isLeaf = true
  }

  init(shape: [Int], inputs: [Node], propagate: @escaping Propagate) {
    number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    self.shape = shape
    self.inputs = inputs
    self.propagate = propagate
    home = nil
    isLeaf = false
  }

  /// Where a gradient that arrives first has to go, if anywhere.
  private var firstDestination: Storage? { awaited == nil ? home : nil }

  /// The sum of what has arrived; nil when nothing has.
  var gradient: Tensor? {
    awaitTasks()
    clearUnwritten()
    return received.map { Tensor(storage: $0, shape: shape) }
  }

  /// The same for tasks that are handed out after those that may still be computing it.
  var pendingGradient: PendingGradient? { received.map { PendingGradient(elements: $0, unwritten: unwritten) } }

  private func clearUnwritten() {
    guard let received, !unwritten.isEmpty else { return }
    for range in unwritten {
      Threads.run(over: range.count, grain: 8 * elementwiseGrain) {
        (received.pointer + range.lowerBound + $0.lowerBound).update(repeating: 0, count: $0.count)
      }
    }
    received.markChanged()
    unwritten = []
  }

  /// Adds a gradient that an operation is about to compute: `body` gets the destination and whether to add to it, and
  /// leaves `zeros` alone, where the gradient is zero.
  func receive(
    zeros: [Range<Int>] = [], _ body: (_ destination: UnsafeMutablePointer<Float>, _ accumulate: Bool) -> Void
  ) {
    receiveStorage(zeros: zeros) { body($0.pointer, $1) }
  }

  /// The same for a gradient that tasks compute: beside what follows (`Threads.runAside`), if somebody waits for it.
  ///
  /// Inlined, so that `body` is put into memory of its own only in that case.
  @inline(__always)
  func receive(
    zeros: [Range<Int>] = [], tasks: Int,
    _ body: @escaping (_ task: Int, _ destination: UnsafeMutablePointer<Float>, _ accumulate: Bool) -> Void
  ) {
    if awaited == nil {
      receive(zeros: zeros) { destination, accumulate in
        Threads.run(tasks) { body($0, destination, accumulate) }
      }
    } else {
      receiveStorage(zeros: zeros) { destination, accumulate in
        Threads.runAside(tasks) { body($0, destination.pointer, accumulate) }
      }
      isPending = true
    }
  }

  private func awaitTasks() {
    if isPending { Threads.finishAside() }
    isPending = false
  }

  private func receiveStorage(zeros: [Range<Int>], _ body: (_ destination: Storage, _ accumulate: Bool) -> Void) {
    awaitTasks()
    let accumulate = received != nil
    if accumulate { clearUnwritten() }
    let isShared = accumulate && received !== home && !isKnownUniquelyReferenced(&received)
    let target = isShared ? gradient?.copied().storage : received
    let destination = target ?? firstDestination ?? newStorage()
    body(destination, accumulate)
    destination.markChanged()
    received = destination
    if accumulate { return }
    unwritten = zeros
    // Whoever has seen a gradient at home may look there at any time.
    if destination === home || !isLeaf { clearUnwritten() }
  }

  /// Memory for a gradient; the large ones of those that take turns get blocks of one size.
  private func newStorage() -> Storage {
    let count = shape.elementCount, fewest = 1 << 16
    return Storage(uninitialized: count, room: count < fewest ? count : awaited?.largest ?? count)
  }

  /// Adds a gradient that exists already; the first one to arrive is shared, not copied.
  func receive(_ incoming: Tensor) {
    precondition(
      incoming.shape == shape, "backward: a gradient of shape \(incoming.shape) for a tensor of shape \(shape)")
    if received == nil && firstDestination == nil {
      received = incoming.storage
      return
    }
    let source = incoming.storage.pointer
    receive { destination, accumulate in
      Threads.run(over: incoming.count, grain: elementwiseGrain) { range in
        let target = destination + range.lowerBound
        if accumulate {
          rk_add(target, source + range.lowerBound, range.count, target)
        } else {
          target.update(from: source + range.lowerBound, count: range.count)
        }
      }
    }
  }

  func clearGradient() {
    received = nil
    unwritten = []
    isPending = false
  }

  /// Hands out what `backward` needs and forgets it, or only the gradient if the record is retained.
  func consume(retaining: Bool) -> (Propagate, Tensor)? {
    let isAlone = isKnownUniquelyReferenced(&received)
    guard !isLeaf, let storage = received else { return nil }
    guard let propagate else {
      preconditionFailure(
        "backward: this part of the computation was already differentiated; run the forward pass again before the next backward, or pass retainGraph: true to the first"
      )
    }
    received = nil
    if !retaining { self.propagate = nil }
    return (propagate, Tensor(storage: storage, shape: shape, node: nil, mayBeOverwritten: isAlone))
  }

  /// Whether the walk comes here for the first time.
  func isNew(in walk: Int) -> Bool {
    defer { lastWalk = walk }
    return lastWalk != walk
  }

  func dropInputs() -> [Node] {
    defer { inputs = [] }
    return inputs
  }

  deinit {
    // A chain of nodes must not be released by recursion: 100,000 of them would overflow the stack. The closure is
    // dropped first, since it holds the inputs too.
    propagate = nil
    var pending = inputs
    inputs = []
    while var node = pending.popLast() {
      if isKnownUniquelyReferenced(&node) {
        node.propagate = nil
        pending.append(contentsOf: node.dropInputs())
      }
    }
  }
}
