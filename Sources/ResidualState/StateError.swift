/// What a file or a state dict got wrong, and the way out.
public struct StateError: Error, Sendable, Equatable {
  /// The kind of mistake.
  public enum Code: String, Sendable {
    /// There is no such file or no such group in it.
    case notFound
    /// The system would not let the file be read.
    case unreadable
    /// The file ends before what it promises.
    case truncated
    /// The file is of no known format, or not of the one it says.
    case wrongFormat
    /// The file is whole but holds something this library does not read.
    case unsupported
    /// The file holds something that is not read for safety's sake.
    case refused
    /// The file contradicts itself.
    case corrupt
    /// A tensor's bytes are not the ones that were written.
    case checksumMismatch
    /// The state dict lacks keys of the model.
    case missingKeys
    /// The state dict has keys that the model has not.
    case unexpectedKeys
    /// A tensor has another shape than the model's.
    case shapeMismatch
    /// A tensor has another element type than the model's.
    case dtypeMismatch
    /// Options name something that is not there, or contradict each other.
    case invalidOptions
    /// A key cannot be written to a file of that format.
    case invalidKey
    /// The system would not let the file be written; the old file, if there was one, is untouched.
    case writeFailed
    /// The new file is in place but the system could not confirm that it would survive a power cut.
    case notDurable
  }

  /// The kind of mistake.
  public let code: Code
  /// What is wrong, and what to do about it.
  public let message: String
  /// The key it is about, where it is about one.
  public let key: String?
  /// The file it is about, where it is about one.
  public let path: String?
  /// What the system or a library below said.
  public let cause: String?

  /// Makes an error.
  public init(_ code: Code, _ message: String, key: String? = nil, path: String? = nil, cause: String? = nil) {
    self.code = code
    self.message = message
    self.key = key
    self.path = path
    self.cause = cause
  }
}

extension StateError: CustomStringConvertible {
  /// Path, message and cause in one text.
  public var description: String {
    var text = path.map { "\($0): " } ?? ""
    text += message
    if let cause, !cause.isEmpty { text += " (\(cause))" }
    return text
  }
}
