/// The type that convolutions and linear layers multiply in; sums, weights and everything else stay float32.
public enum Precision: String, Sendable, CaseIterable {
  /// 32-bit operands.
  case float32
  /// 16-bit operands with 8 bits of precision and float32 sums: less accurate, much faster where the processor has
  /// instructions for it, and the same bits where it has not.
  case bfloat16

  @TaskLocal static var current = Precision.float32
}

/// Runs `body` with convolutions and linear layers in that precision, and their backward passes too, whenever they
/// happen.
///
/// PyTorch: `torch.autocast("cpu", torch.bfloat16)`.
public func withPrecision<Result>(_ precision: Precision, _ body: () throws -> Result) rethrows -> Result {
  try Precision.$current.withValue(precision, operation: body)
}
