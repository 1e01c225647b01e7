/// One result for each piece, each written by one thread.
final class PieceResults: @unchecked Sendable {
  private let results: UnsafeMutableBufferPointer<Result<UInt32, StateError>>

  init(count: Int) {
    results = .allocate(capacity: count)
    results.initialize(repeating: .success(0))
  }

  deinit {
    results.deinitialize()
    results.deallocate()
  }

  subscript(index: Int) -> Result<UInt32, StateError> {
    get { results[index] }
    set { results[index] = newValue }
  }
}
