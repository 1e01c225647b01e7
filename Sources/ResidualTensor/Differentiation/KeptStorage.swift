/// A storage that an operation keeps for its gradient, which would be wrong if the content changed in between.
struct KeptStorage {
  private let storage: Storage
  private let version: Int
  private let operation: String

  init(_ storage: Storage, for operation: String) {
    self.storage = storage
    self.operation = operation
    version = storage.version
  }

  /// The storage; stops the program if its content was changed since it was kept.
  func unchanged() -> Storage {
    precondition(
      storage.version == version,
      "backward: a value that \(operation) needs for its gradient was changed after the forward pass; change weights (an optimizer's step, say) after the last backward pass"
    )
    return storage
  }
}
