import Foundation

/// Standard output and standard error, line by line, without a buffer between.
enum Console {
  static let isTerminal = isatty(STDOUT_FILENO) == 1

  /// Standard output could not be written to.
  struct WriteError: Error, CustomStringConvertible {
    let cause: String
    var description: String { "standard output can't be written to (\(cause))" }
  }

  static func write(_ text: String) throws {
    if let cause = write(text, to: STDOUT_FILENO) { throw WriteError(cause: cause) }
  }

  /// A message as one line, whatever it holds.
  static func writeError(_ message: String) {
    let line = message.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    _ = write("resnet: \(line.joined(separator: " "))\n", to: STDERR_FILENO)
  }

  /// What went wrong, nil when nothing did.
  private static func write(_ text: String, to descriptor: Int32) -> String? {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { return String(cString: strerror(errno)) }
      bytes = bytes.dropFirst(count)
    }
    return nil
  }
}
