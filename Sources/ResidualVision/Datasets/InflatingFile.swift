import Foundation

/// Reads a file from front to back, unpacking it on the way if its content (not its name) is gzip.
final class InflatingFile {
  let path: String

  /// The file's size on disk.
  let storedByteCount: Int

  /// Whether what is read is unpacked on the way.
  var isCompressed: Bool { inflater != nil }

  private let file: ReadableFile
  private let inflater: GzipInflater?

  init(path: String) throws(DatasetError) {
    let file = try ReadableFile(path: path)
    let opening = try file.read(upTo: 64)
    guard !looksLikeWebPage(opening) else {
      throw DatasetError(
        .wrongFormat, "its first bytes are a web page, so a download went wrong; delete the file and get it again",
        path: path)
    }
    try file.rewind()
    self.path = path
    self.file = file
    storedByteCount = file.byteCount
    inflater = opening.starts(with: [0x1f, 0x8b]) ? try GzipInflater(of: file) : nil
  }

  /// The most bytes that the content can have: deflate packs 1032 bytes into one at best.
  var largestByteCount: Int {
    guard isCompressed else { return storedByteCount }
    let (product, overflow) = storedByteCount.multipliedReportingOverflow(by: 1032)
    return overflow ? .max : product
  }

  /// Up to `count` bytes of content; fewer only at the end, which is checked as it is reached.
  func read(upTo count: Int) throws(DatasetError) -> [UInt8] {
    if let inflater { return try [UInt8](upTo: count, filledBy: inflater.inflate(into:)) }
    return try file.read(upTo: count)
  }

  /// Throws if there is content left, however damaged.
  func expectEnd() throws(DatasetError) {
    guard try read(upTo: 1).isEmpty else {
      throw DatasetError(
        .inconsistent, "it holds more bytes than its header says; delete the file and get it again", path: path)
    }
  }
}

/// Whether bytes look like the beginning of HTML or XML, which is what many servers send in place of a missing file.
func looksLikeWebPage(_ bytes: [UInt8]) -> Bool {
  let text = String(decoding: bytes.prefix(64), as: UTF8.self)
    .trimmingCharacters(in: .whitespacesAndNewlines.union(CharacterSet(charactersIn: "\u{feff}"))).lowercased()
  return ["<!doctype", "<html", "<head", "<?xml", "<error"].contains { text.hasPrefix($0) }
}
