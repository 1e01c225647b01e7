import Foundation

/// CIFAR-10 in its binary format: 32 x 32 colour images in ten classes (Krizhevsky, 2009).
///
/// A file is a row of records, each a label byte and 3 x 1024 bytes: the red, the green and the blue plane.
public enum CIFAR10 {
  /// What the classes are called.
  public static let classNames = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
  ]

  private static let pixelByteCount = 3 * 32 * 32
  private static let recordByteCount = 1 + pixelByteCount

  /// The files of a split.
  static func fileNames(of split: DatasetSplit) -> [String] {
    split == .test ? ["test_batch.bin"] : (1...5).map { "data_batch_\($0).bin" }
  }

  /// Reads a split from a folder that holds its files, or that holds them in `cifar-10-batches-bin`, as published.
  ///
  /// - Throws: `DatasetError` if a file is missing, is not a whole number of records, or has a label above 9.
  public static func load(_ split: DatasetSplit, from folder: URL) throws(DatasetError) -> LabeledImages {
    let names = fileNames(of: split)
    let missing = names.filter { existingPath(of: $0, in: folder) == nil }
    guard missing.isEmpty else {
      throw DatasetError(
        .missing,
        "CIFAR-10's \(split.rawValue) split needs \(missing.joined(separator: ", ")); "
          + "unpack cifar-10-binary.tar.gz there", path: folder.path)
    }
    var pixels: [UInt8] = []
    var labels: [Int] = []
    for path in names.compactMap({ existingPath(of: $0, in: folder) }) {
      try append(contentsOf: path, to: &pixels, &labels)
    }
    return try LabeledImages(pixels: pixels, labels: labels, channels: 3, height: 32, width: 32, classNames: classNames)
  }

  /// Whether a folder has any of the files of a split.
  static func isPresent(_ split: DatasetSplit, in folder: URL) -> Bool {
    fileNames(of: split).contains { existingPath(of: $0, in: folder) != nil }
  }

  private static func existingPath(of name: String, in folder: URL) -> String? {
    [folder, folder.appending(path: "cifar-10-batches-bin")].map { $0.appending(path: name).path }
      .first { FileManager.default.fileExists(atPath: $0) }
  }

  private static func append(
    contentsOf path: String, to pixels: inout [UInt8], _ labels: inout [Int]
  ) throws(DatasetError) {
    let file = try ReadableFile(path: path)
    guard file.byteCount > 0, file.byteCount % recordByteCount == 0 else {
      throw DatasetError(
        .wrongFormat,
        "its \(file.byteCount) bytes are no whole number of CIFAR-10's \(recordByteCount)-byte records; "
          + "get it again, or unpack it if it is an archive", path: path)
    }
    let bytes = try file.read(upTo: file.byteCount)
    guard bytes.count == file.byteCount else {
      throw DatasetError(.truncated, "became shorter while it was read", path: path)
    }
    pixels.reserveCapacity(pixels.count + bytes.count)
    for start in stride(from: 0, to: bytes.count, by: recordByteCount) {
      guard bytes[start] < classNames.count else {
        throw DatasetError(
          .labelOutOfRange,
          "label \(bytes[start]) of image \(start / recordByteCount) is not one of the classes 0...9; "
            + "the file is damaged or no CIFAR-10 batch", path: path)
      }
      labels.append(Int(bytes[start]))
      pixels += bytes[start + 1..<start + recordByteCount]
    }
  }
}
