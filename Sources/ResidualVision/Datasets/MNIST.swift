import Foundation

/// MNIST and the data sets that come in its format: four IDX files, gzipped or not, of grey images in ten classes.
public struct MNIST: Sendable {
  /// The name on the command line and of the folder in the cache.
  public let name: String

  /// What the classes are called.
  public let classNames: [String]

  /// The addresses under which the published files are found, the preferred one first.
  let mirrors: [String]

  /// The published files by what they hold; nil where nothing is known to check a download against.
  let published: [Part: PublishedFile]

  /// Images or labels of a split.
  struct Part: Hashable {
    let split: DatasetSplit
    let holdsImages: Bool

    /// The published name, without the ending `.gz`.
    var fileName: String {
      (split == .train ? "train" : "t10k") + (holdsImages ? "-images-idx3-ubyte" : "-labels-idx1-ubyte")
    }

    static let all = DatasetSplit.allCases.flatMap {
      [Part(split: $0, holdsImages: true), Part(split: $0, holdsImages: false)]
    }
  }

  /// How the content of a published file is told from any other.
  struct PublishedFile {
    let unpackedByteCount: Int
    let unpackedSHA256: String
  }

  /// Reads a split from a folder that holds the files, or that holds them in `raw`, as torchvision lays them out.
  ///
  /// - Throws: `DatasetError` if a file is missing or wrong, if images and labels disagree, or if a label is not one of
  ///   the classes.
  public func load(_ split: DatasetSplit, from folder: URL) throws(DatasetError) -> LabeledImages {
    let imagesPath = try path(of: Part(split: split, holdsImages: true), in: folder)
    let labelsPath = try path(of: Part(split: split, holdsImages: false), in: folder)
    let images = try IDXFile(path: imagesPath, rank: 3)
    let labels = try IDXFile(path: labelsPath, rank: 1)
    let (height, width) = (images.dimensions[1], images.dimensions[2])
    guard height > 0, width > 0 else {
      throw DatasetError(.wrongFormat, "its images are \(height) x \(width) pixels", path: imagesPath)
    }
    return try LabeledImages(
      pixels: images.bytes, labels: labels.bytes.map(Int.init), channels: 1, height: height, width: width,
      classNames: classNames, imagesPath: imagesPath, labelsPath: labelsPath)
  }

  /// Whether a folder has the files of a split, right or wrong.
  func isPresent(_ split: DatasetSplit, in folder: URL) -> Bool {
    Part.all.filter { $0.split == split }.allSatisfy { existingPath(of: $0, in: folder) != nil }
  }

  /// Downloads the files that a folder lacks, each checked before it gets its name.
  ///
  /// - Throws: `DatasetError` if no mirror has the published file; nothing is left behind of a failed download.
  public func download(to folder: URL, progress: (@Sendable (Download.Progress) -> Void)? = nil) throws(DatasetError) {
    for part in Part.all where existingPath(of: part, in: folder) == nil {
      let fileName = part.fileName + ".gz"
      guard let published = published[part] else {
        throw DatasetError(
          .missing, "\(fileName) is not there and nothing is known to check a download against", path: folder.path)
      }
      let download = Download(
        mirrors: mirrors.compactMap { URL(string: $0 + fileName) }, target: folder.appending(path: fileName),
        maximumByteCount: published.unpackedByteCount + 1024, progress: progress)
      try download.run { path throws(DatasetError) in try published.check(path) }
    }
  }

  private func path(of part: Part, in folder: URL) throws(DatasetError) -> String {
    if let path = existingPath(of: part, in: folder) { return path }
    throw DatasetError(
      .missing,
      "there is no \(part.fileName) or \(part.fileName).gz, neither here nor in raw; "
        + "put the four files of \(name) there, or use --data \(name) to download them", path: folder.path)
  }

  private func existingPath(of part: Part, in folder: URL) -> String? {
    let places = [folder, folder.appending(path: "raw")]
    let candidates = places.flatMap { [$0.appending(path: part.fileName + ".gz"), $0.appending(path: part.fileName)] }
    return candidates.map(\.path).first { FileManager.default.fileExists(atPath: $0) }
  }
}

extension MNIST.PublishedFile {
  /// Throws unless a file's content, unpacked if it is gzipped, is what was published.
  ///
  /// Not the packed bytes are compared: packed anew by another program, the same data set has other ones.
  func check(_ path: String) throws(DatasetError) {
    let file = try InflatingFile(path: path)
    var hash = SHA256()
    var byteCount = 0
    while byteCount <= unpackedByteCount {
      let piece = try file.read(upTo: 1 << 20)
      if piece.isEmpty { break }
      hash.update(piece)
      byteCount += piece.count
    }
    let digest = hash.finish()
    guard byteCount == unpackedByteCount, digest == unpackedSHA256 else {
      throw DatasetError(
        .checksumMismatch,
        "is not the published file: its content is \(byteCount) bytes with SHA-256 \(digest), "
          + "but \(unpackedByteCount) bytes with \(unpackedSHA256) were published", path: path)
    }
  }
}
