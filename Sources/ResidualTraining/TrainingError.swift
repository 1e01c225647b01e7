/// Why training or evaluation could not start or go on.
public struct TrainingError: Error, Equatable, CustomStringConvertible {
  /// What was wrong.
  public enum Code: Sendable {
    /// The loss is NaN or infinite.
    case lossNotFinite
    /// Images and model, or a saved progress and the run, don't fit together.
    case mismatch
    /// A schedule's numbers are outside their ranges.
    case invalidSchedule
  }

  /// What was wrong.
  public let code: Code
  /// What was wrong, in words, and the way out.
  public let message: String
  /// The message.
  public var description: String { message }
}
