/// What is wrong with a data set's files, a download or a request for data, and the way out.
public struct DatasetError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kinds of failure, for programs that tell them apart.
  public enum Code: String, Sendable {
    /// A file or folder isn't there.
    case missing
    /// The system refuses to open, read or write a file.
    case inaccessible
    /// The content is something else than it should be.
    case wrongFormat
    /// The content ends early.
    case truncated
    /// The content is damaged.
    case corrupt
    /// The content is larger than it may be.
    case tooLarge
    /// Two counts that should be equal are not.
    case inconsistent
    /// A label is not one of the classes.
    case labelOutOfRange
    /// No mirror could provide the file.
    case downloadFailed
    /// The content is not what was published.
    case checksumMismatch
    /// A request that can't be fulfilled, such as a batch size of zero.
    case invalidRequest
  }

  /// The kind of failure.
  public let code: Code

  /// What is wrong and what to do about it, on one line.
  public let message: String

  /// The file or folder it is about.
  public let path: String?

  /// What the system or a library said.
  public let cause: String?

  /// Creates an error.
  public init(_ code: Code, _ message: String, path: String? = nil, cause: String? = nil) {
    self.code = code
    self.message = message
    self.path = path
    self.cause = cause
  }

  /// Path, message and cause on one line.
  public var description: String {
    (path.map { "\($0): " } ?? "") + message + (cause.map { " (\($0))" } ?? "")
  }
}
