/// The content of an IDX file of unsigned bytes, the format of MNIST and its kin, gzipped or not.
///
/// Two zero bytes, the type (8 for unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit
/// number, then the bytes, last dimension fastest (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
public struct IDXFile: Sendable {
  /// The sizes, outermost first: `[N, H, W]` for images, `[N]` for labels.
  public let dimensions: [Int]

  /// The content; as many bytes as the product of the dimensions.
  public let bytes: [UInt8]

  /// Reads a file, whose content tells whether it is gzipped.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - rank: how many dimensions it must have.
  ///   - maximumByteCount: the most content to accept; nothing of that size is allocated unless the file can hold it.
  /// - Throws: `DatasetError` if the file can't be read, is no IDX file of unsigned bytes with that many dimensions, or
  ///   has more or less content than its dimensions say.
  public init(path: String, rank: Int, maximumByteCount: Int = 1 << 31) throws(DatasetError) {
    precondition((1...255).contains(rank), "IDXFile: an IDX file can't have \(rank) dimensions")
    let file = try InflatingFile(path: path)
    dimensions = try Self.readHeader(of: file, rank: rank)
    let byteCount = try Self.checkedByteCount(dimensions, of: file, maximum: maximumByteCount)
    bytes = try file.read(upTo: byteCount)
    guard bytes.count == byteCount else {
      throw DatasetError(
        .truncated,
        "its header says \(Self.text(dimensions)) bytes, but only \(bytes.count) follow; "
          + "delete the file and get it again",
        path: path)
    }
    try file.expectEnd()
  }

  private static func readHeader(of file: InflatingFile, rank: Int) throws(DatasetError) -> [Int] {
    let header = try file.read(upTo: 4 + 4 * rank)
    guard !header.isEmpty else {
      throw DatasetError(.truncated, "is empty; delete the file and get it again", path: file.path)
    }
    let magic: [UInt8] = [0, 0, 8, UInt8(rank)]
    guard header.starts(with: magic) else {
      let found = hexadecimal(header.prefix(4), separator: " ")
      let expected = hexadecimal(magic, separator: " ")
      var message = "is no IDX file of bytes with \(rank) dimension\(rank == 1 ? "" : "s"): "
      if header.starts(with: [0x1f, 0x8b]) {
        message += "it is gzipped twice; unpack it once with gunzip"
      } else if looksLikeWebPage(header) {
        message += "it holds a web page, so a download went wrong; delete the file and get it again"
      } else {
        message += "it begins with \(found), not with \(expected); check that it is the right file"
      }
      throw DatasetError(.wrongFormat, message, path: file.path)
    }
    guard header.count == 4 + 4 * rank else {
      throw DatasetError(
        .truncated, "ends inside its header; delete the file and get it again", path: file.path)
    }
    return stride(from: 4, to: header.count, by: 4).map { start in
      header[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
    }
  }

  private static func checkedByteCount(
    _ dimensions: [Int], of file: InflatingFile, maximum: Int
  ) throws(DatasetError) -> Int {
    var byteCount = 1
    for dimension in dimensions {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
      byteCount = overflow ? Int.max : product
    }
    guard byteCount <= maximum else {
      throw DatasetError(
        .tooLarge, "its header says \(text(dimensions)) bytes, more than the \(maximum) that are accepted",
        path: file.path)
    }
    let headerByteCount = 4 + 4 * dimensions.count
    guard byteCount <= file.largestByteCount - (file.isCompressed ? 0 : headerByteCount) else {
      throw DatasetError(
        .truncated,
        "its header says \(text(dimensions)) bytes, more than its \(file.storedByteCount) bytes can hold; "
          + "delete the file and get it again",
        path: file.path)
    }
    return byteCount
  }

  private static func text(_ dimensions: [Int]) -> String {
    dimensions.map(String.init).joined(separator: " x ")
  }
}
