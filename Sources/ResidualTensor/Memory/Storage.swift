/// The floats behind one or more tensors, by reference.
///
/// A storage never moves or grows: its pointer is valid as long as the object lives. `version` counts changes of its
/// content, so that whoever keeps something computed from a weight, or the weight for a gradient, knows when it is stale.
public final class Storage {
  /// The first element.
  public let pointer: UnsafeMutablePointer<Float>
  /// Number of floats.
  public let count: Int
  /// Grows with every change of the content after creation.
  public private(set) var version = 0
  private let room: Int
  private var derived: [String: Storage] = [:]

  /// Uninitialised memory for `count` floats.
  public convenience init(uninitialized count: Int) { self.init(uninitialized: count, room: count) }

  /// The same in a block with room for `room` of them: memory of one size serves storages of many.
  init(uninitialized count: Int, room: Int) {
    precondition(count >= 0, "Storage: negative count \(count)")
    self.count = count
    self.room = max(1, count, room)
    let raw = MemoryPool.take(bytes: self.room * MemoryLayout<Float>.stride)
    pointer = raw.bindMemory(to: Float.self, capacity: self.room)
  }

  /// `count` times the same value.
  public convenience init(repeating value: Float, count: Int) {
    self.init(uninitialized: count)
    pointer.update(repeating: value, count: count)
  }

  deinit {
    MemoryPool.give(pointer, bytes: room * MemoryLayout<Float>.stride)
  }

  /// Changes the content in place and marks everything derived from it as stale.
  public func mutate<Result>(_ body: (UnsafeMutableBufferPointer<Float>) throws -> Result) rethrows -> Result {
    defer { markChanged() }
    return try body(UnsafeMutableBufferPointer(start: pointer, count: count))
  }

  /// Says that the content was changed through `pointer`.
  public func markChanged() {
    version += 1
    forgetDerived()
  }

  /// Drops what was computed from the content and kept, to free its memory.
  public func forgetDerived() {
    if !derived.isEmpty { derived = [:] }
  }

  /// A value computed from the content, kept until the content changes.
  func cached(_ name: String, make: () -> Storage) -> Storage {
    if let storage = derived[name] { return storage }
    let storage = make()
    keep(storage, as: name)
    return storage
  }

  /// Keeps what `cached` would compute under that name, for whoever has it already.
  func keep(_ storage: Storage, as name: String) { derived[name] = storage }
}
