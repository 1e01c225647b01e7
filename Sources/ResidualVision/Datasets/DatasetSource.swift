import Foundation

/// Where the images of `--data` come from: a known data set by name, or a folder.
public struct DatasetSource: Sendable {
  /// The data set's name: `mnist`, `fashion-mnist`, `cifar10`, or the folder's own.
  public let name: String

  /// The folder with the files.
  public let folder: URL

  private let format: Format

  private enum Format {
    case mnist(MNIST)
    case cifar10
  }

  /// Finds a data set, and downloads it if it is known by name and not there.
  ///
  /// - `mnist` is looked for in the cache folder and downloaded into it.
  /// - `fashion-mnist` likewise; before downloading, Debian's package `dataset-fashion-mnist` is looked for.
  /// - Anything else is a folder with MNIST's IDX files or CIFAR-10's binary batches; its content tells which.
  ///
  /// The cache folder is `$RESIDUAL_DATA/NAME`, else `$XDG_CACHE_HOME/residual/NAME`, else `~/.cache/residual/NAME`.
  ///
  /// - Throws: `DatasetError` that says where was looked and what can be done.
  public init(
    _ argument: String, environment: [String: String] = ProcessInfo.processInfo.environment,
    progress: (@Sendable (Download.Progress) -> Void)? = nil
  ) throws(DatasetError) {
    switch argument {
    case MNIST.digits.name:
      self = try Self.known(.digits, alsoIn: [], environment: environment, progress: progress)
    case MNIST.fashion.name:
      let debian = URL(filePath: "/usr/share/datasets/fashion-mnist")
      self = try Self.known(.fashion, alsoIn: [debian], environment: environment, progress: progress)
    default:
      try self.init(folder: URL(filePath: argument))
    }
  }

  /// Reads a split.
  ///
  /// - Throws: `DatasetError` if the split's files are missing or wrong.
  public func load(_ split: DatasetSplit) throws(DatasetError) -> LabeledImages {
    switch format {
    case .mnist(let dataset): try dataset.load(split, from: folder)
    case .cifar10: try CIFAR10.load(split, from: folder)
    }
  }

  /// Where a known data set is kept.
  public static func cacheFolder(for name: String, environment: [String: String]) -> URL {
    if let data = environment["RESIDUAL_DATA"], !data.isEmpty {
      return URL(filePath: data).appending(path: name)
    }
    if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
      return URL(filePath: cache).appending(path: "residual/\(name)")
    }
    return FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache/residual/\(name)")
  }

  private init(name: String, folder: URL, format: Format) {
    self.name = name
    self.folder = folder
    self.format = format
  }

  private init(folder: URL) throws(DatasetError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue else {
      throw DatasetError(
        .missing, "is no folder; --data takes mnist, fashion-mnist or a folder with a data set's files",
        path: folder.path)
    }
    if DatasetSplit.allCases.contains(where: { MNIST.digits.isPresent($0, in: folder) }) {
      self.init(name: folder.lastPathComponent, folder: folder, format: .mnist(.digits))
    } else if DatasetSplit.allCases.contains(where: { CIFAR10.isPresent($0, in: folder) }) {
      self.init(name: "cifar10", folder: folder, format: .cifar10)
    } else {
      throw DatasetError(
        .missing,
        "holds no data set: looked for train-images-idx3-ubyte and train-labels-idx1-ubyte, "
          + "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (each may end in .gz or be in raw), "
          + "and for CIFAR-10's data_batch_1.bin to data_batch_5.bin and test_batch.bin", path: folder.path)
    }
  }

  private static func known(
    _ dataset: MNIST, alsoIn others: [URL], environment: [String: String],
    progress: (@Sendable (Download.Progress) -> Void)?
  ) throws(DatasetError) -> DatasetSource {
    let cache = cacheFolder(for: dataset.name, environment: environment)
    let complete = ([cache] + others).first { folder in
      DatasetSplit.allCases.allSatisfy { dataset.isPresent($0, in: folder) }
    }
    if complete == nil { try dataset.download(to: cache, progress: progress) }
    return DatasetSource(name: dataset.name, folder: complete ?? cache, format: .mnist(dataset))
  }
}
