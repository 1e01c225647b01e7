import ResidualTensor

/// State that is saved with a module but not trained: running statistics, say.
///
/// PyTorch: `register_buffer`.
public final class Buffer {
  /// The content; copied into, never replaced.
  public let value: Tensor
  /// Whether state dicts hold it.
  public let isPersistent: Bool

  /// A buffer that starts as a copy of `value`.
  public init(_ value: Tensor, persistent: Bool = true) {
    self.value = value.copied()
    isPersistent = persistent
  }

  /// Changes the content in place, in physical order.
  public func mutate<Result>(_ body: (UnsafeMutableBufferPointer<Float>) throws -> Result) rethrows -> Result {
    try value.storage.mutate(body)
  }
}

/// A whole number that is saved with a module: a scalar int64 in state dicts (`num_batches_tracked`).
public final class Counter {
  /// The count.
  public var value: Int64

  /// A counter that starts at `value`.
  public init(_ value: Int64 = 0) { self.value = value }
}
