import Foundation

/// Fetches a file from the first mirror that has it: into `TARGET.partial` first, checked, and only then under its name.
///
/// Whatever goes wrong, the target is either the checked file or what it was before. Two processes that want the same
/// file don't mix: the second one is told so.
public struct Download: Sendable {
  /// How far a download has come.
  public struct Progress: Sendable, Equatable {
    /// The file's name.
    public let name: String
    /// The bytes that are there, those of an earlier attempt included.
    public let byteCount: Int
    /// The bytes there will be, if the mirror has said so.
    public let totalByteCount: Int?
  }

  /// Where to try, in this order.
  public var mirrors: [URL]

  /// Where the file goes; its folder is made if need be.
  public var target: URL

  /// The most bytes to accept.
  public var maximumByteCount: Int

  /// Whether a download that breaks off keeps its `.partial`, for the next attempt to go on from; otherwise nothing is
  /// left behind.
  public var isResumable: Bool

  /// How long a mirror may send nothing, in seconds.
  public var timeout: Double

  /// Told from time to time, on another thread, how far it is.
  public var progress: (@Sendable (Progress) -> Void)?

  /// Describes a download; `run` starts it.
  public init(
    mirrors: [URL], target: URL, maximumByteCount: Int, isResumable: Bool = false, timeout: Double = 60,
    progress: (@Sendable (Progress) -> Void)? = nil
  ) {
    self.mirrors = mirrors
    self.target = target
    self.maximumByteCount = maximumByteCount
    self.isResumable = isResumable
    self.timeout = timeout
    self.progress = progress
  }

  /// Fetches a file and compares it with what was published.
  ///
  /// - Parameters:
  ///   - byteCount: the published size.
  ///   - sha256: the published SHA-256 in hexadecimal.
  /// - Throws: `DatasetError` that lists what went wrong with each mirror and says what to do.
  public func run(byteCount: Int, sha256: String) throws(DatasetError) {
    try run { path throws(DatasetError) in
      try checkPublished(path, byteCount: byteCount, sha256: sha256)
    }
  }

  /// Fetches a file and lets `check` decide, by its path, whether it is the right one.
  ///
  /// - Throws: `DatasetError` that lists what went wrong with each mirror and says what to do.
  public func run(check: (String) throws(DatasetError) -> Void) throws(DatasetError) {
    let partial = try PartialFile(for: target)
    defer { partial.close(keepingContent: isResumable) }
    if !isResumable { try partial.truncate() }
    var failures: [String] = []
    for mirror in mirrors {
      do throws(DatasetError) {
        try fetch(from: mirror, into: partial, check: check)
        try partial.publish()
        return
      } catch {
        guard error.code != .inaccessible else { throw error }
        failures.append("\(mirror.absoluteString): \(error.message)" + (error.cause.map { " (\($0))" } ?? ""))
      }
    }
    throw DatasetError(
      .downloadFailed, "could not be downloaded; check the connection and try again, or put the file there by hand",
      path: target.path, cause: failures.isEmpty ? "no mirror is known" : failures.joined(separator: "; "))
  }

  /// Tries a mirror, and once more from the start if what was continued turns out to be wrong.
  private func fetch(
    from mirror: URL, into partial: PartialFile, check: (String) throws(DatasetError) -> Void
  ) throws(DatasetError) {
    var isContinued = try partial.byteCount() > 0
    while true {
      do throws(DatasetError) {
        try Transfer(of: self, from: mirror, into: partial).run()
        return try check(partial.path)
      } catch {
        // What has come before a connection failed is good as far as it goes, and a full disk is no mirror's fault.
        if error.code == .downloadFailed || error.code == .inaccessible { throw error }
        try partial.truncate()
        guard isContinued else { throw error }
        isContinued = false
      }
    }
  }
}

/// Throws unless a file is the published one.
private func checkPublished(_ path: String, byteCount: Int, sha256: String) throws(DatasetError) {
  let file = try ReadableFile(path: path)
  let digest = try SHA256.digest(of: file)
  guard file.byteCount == byteCount, digest == sha256.lowercased() else {
    throw DatasetError(
      .checksumMismatch,
      "is not the published file: it is \(file.byteCount) bytes with SHA-256 \(digest), "
        + "but \(byteCount) bytes with \(sha256) were published", path: path)
  }
}
