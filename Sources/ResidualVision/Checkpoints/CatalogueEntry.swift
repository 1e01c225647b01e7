import Foundation

/// A checkpoint of a ``Catalogue``.
public struct CatalogueEntry: Sendable, Equatable, Codable {
  /// What it is called.
  public let name: String
  /// The model's name, see ``ModelName``.
  public let model: String
  /// Channels of the images.
  public let inputChannels: Int
  /// Number of classes.
  public let classes: Int
  /// The file's name.
  public let file: String
  /// Where it is downloaded from; nil for a file that lies beside the catalogue.
  public let source: String?
  /// SHA-256 in hexadecimal.
  public let sha256: String?
  /// The first digits of the SHA-256, where no more was published.
  public let sha256Prefix: String?
  /// The size in bytes.
  public let size: Int?
  /// The size in MiB, rounded to three digits, where no more was published.
  public let mebibytes: Double?
  /// What the images are normalised with: the mean, a number a channel; nil where they are 0...1 as they come.
  public let mean: [Double]?
  /// And the standard deviation.
  public let std: [Double]?
  /// Measurements by what was measured.
  public let metrics: [String: Double]
  /// How it was made, a command or a sentence each.
  public let origin: [String]

  /// What makes the entry unusable, in words; nil when nothing does.
  var problem: String? {
    let isHexadecimal = { (text: String) in text.allSatisfy { "0123456789abcdef".contains($0) } }
    switch (sha256, sha256Prefix) {
    case (let hash?, nil) where hash.count == 64 && isHexadecimal(hash): break
    case (nil, let prefix?) where (8...64).contains(prefix.count) && isHexadecimal(prefix): break
    default: return "needs either sha256, 64 digits, or sha256_prefix, 8 digits or more (0-9, a-f)"
    }
    guard (size ?? 1) > 0, (0...1e9).contains(mebibytes ?? 1), size != nil || mebibytes != nil else {
      return "needs its size in bytes, or in mebibytes"
    }
    guard !file.isEmpty, !file.contains("/"), file != ".." else { return "has a file that is not a plain name" }
    if let source, URL(string: source)?.scheme?.hasPrefix("http") != true {
      return "has a source that is no web address"
    }
    return nil
  }

  /// The most bytes the file may have.
  private var maximumByteCount: Int { size ?? Int(((mebibytes ?? 0) + 0.0005) * 1_048_576) + 1 }

  /// Downloads the file unless it is there, and checks it.
  ///
  /// A download that broke off goes on where it stopped. Under its name there is only ever the checked file.
  ///
  /// - Parameters:
  ///   - target: Where the file goes.
  ///   - timeout: How long the server may send nothing, in seconds.
  ///   - onStart: Called before something is downloaded.
  /// - Returns: Whether something was downloaded.
  /// - Throws: `DatasetError`; also when another file has the target's name, which stays.
  @discardableResult
  public func fetch(
    to target: URL, timeout: Double = 60, onStart: () throws -> Void = {}
  ) throws -> Bool {
    if FileManager.default.fileExists(atPath: target.path) {
      do throws(DatasetError) {
        try check(target.path)
      } catch {
        throw DatasetError(
          error.code, "another file is there already: it \(error.message); move it away, or choose another --output",
          path: target.path, cause: error.cause)
      }
      return false
    }
    guard let source = source.flatMap(URL.init(string:)) else {
      throw DatasetError(
        .missing, "is not there, and the catalogue has no address for it: it belongs beside the catalogue in the clone",
        path: target.path)
    }
    try onStart()
    let download = Download(
      mirrors: [source], target: target, maximumByteCount: maximumByteCount, isResumable: true, timeout: timeout)
    try download.run(check: check)
    return true
  }

  /// Throws a `DatasetError` unless the file has the size and the hash of the catalogue.
  public func check(_ path: String) throws(DatasetError) {
    let file = try ReadableFile(path: path)
    let digest = try SHA256.digest(of: file)
    var isSame = digest.hasPrefix(sha256 ?? sha256Prefix ?? digest)
    if let size {
      isSame = isSame && file.byteCount == size
    } else if let mebibytes {
      isSame = isSame && abs(Double(file.byteCount) / 1_048_576 - mebibytes) <= 0.0005 + 1e-9
    }
    guard isSame else {
      let wantedSize = size.map { "\($0) bytes" } ?? "\(mebibytes ?? 0) MiB"
      let wantedHash = sha256.map { "SHA-256 \($0)" } ?? "a SHA-256 that begins with \(sha256Prefix ?? "")"
      throw DatasetError(
        .checksumMismatch,
        "is not \"\(name)\": it is \(file.byteCount) bytes with SHA-256 \(digest), the catalogue says \(wantedSize), \(wantedHash)",
        path: path)
    }
  }
}
