import Foundation
import ResidualState

/// Where a run keeps its checkpoints: the newest under one name, and if wanted the last few and the best beside it.
///
/// `run.h5` is always the newest. With `keep: 3` the last three are also `run-step00000938.h5` and so on, and the one of
/// the best test accuracy is `run-best.h5`; these are hard links where the file system has them, so a checkpoint that
/// is kept under two names takes its space once.
public struct CheckpointStore: Sendable {
  /// The newest checkpoint's path.
  public let path: String
  /// How many numbered checkpoints stay; nil for none.
  public let keep: Int?

  /// A store around `path`.
  public init(path: String, keep: Int? = nil) {
    precondition(keep ?? 1 > 0, "CheckpointStore: \(keep ?? 0) checkpoints to keep")
    self.path = path
    self.keep = keep
  }

  /// Writes the newest checkpoint, then its other names, then removes those that are too many.
  ///
  /// - Throws: `StateError`; whatever was there before is then still there.
  public func save(_ checkpoint: TrainingCheckpoint) throws {
    try checkpoint.write(to: path)
    guard let keep else { return }
    try link(to: numbered(checkpoint.progress.step))
    if let best = checkpoint.progress.best, best == checkpoint.progress.history[.test].last,
      checkpoint.progress.batch == 0
    {
      try link(to: "\(stem)-best.h5")
    }
    for name in try Self.siblings(of: path).dropFirst(keep) { try FileManager.default.removeItem(atPath: name) }
  }

  /// A checkpoint that could be read, and the newer ones that could not.
  public struct Found: Sendable {
    /// The newest good checkpoint.
    public let checkpoint: TrainingCheckpoint
    /// Its file.
    public let path: String
    /// Newer files and what is wrong with them.
    public let skipped: [(path: String, error: StateError)]
  }

  /// The newest good checkpoint at a path: the file itself, else the numbered ones beside it, newest first; or of all
  /// the HDF5 files in a folder, the last written first.
  ///
  /// - Throws: `StateError` that tells what was tried when none is good.
  public static func newest(at path: String) throws -> Found {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw StateError(.notFound, "there is no such checkpoint", path: path)
    }
    let candidates = isFolder.boolValue ? try files(in: path) : try [path] + siblings(of: path)
    var skipped: [(path: String, error: StateError)] = []
    for candidate in candidates {
      do {
        return Found(checkpoint: try TrainingCheckpoint(contentsOf: candidate), path: candidate, skipped: skipped)
      } catch let error as StateError {
        skipped.append((candidate, error))
      }
    }
    guard let first = skipped.first else {
      throw StateError(.notFound, "holds no checkpoints; they are files that end in .h5", path: path)
    }
    guard skipped.count > 1 else { throw first.error }
    throw StateError(
      first.error.code, "none of \(skipped.count) checkpoints can be read; the newest: \(first.error.message)",
      path: first.path, cause: first.error.cause)
  }

  private var stem: String { path.hasSuffix(".h5") ? String(path.dropLast(3)) : path }

  private func numbered(_ step: Int) -> String {
    let digits = String(step)
    return "\(stem)-step\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).h5"
  }

  /// Gives the newest file another name, in one step.
  private func link(to name: String) throws {
    // One name for all: what a killed process left behind goes with the next save.
    let temporary = "\(path).link-tmp"
    let manager = FileManager.default
    do {
      if manager.fileExists(atPath: temporary) { try manager.removeItem(atPath: temporary) }
      do {
        try manager.linkItem(atPath: path, toPath: temporary)
      } catch {
        // Not every file system has hard links.
        try manager.copyItem(atPath: path, toPath: temporary)
      }
      guard rename(temporary, name) == 0 else {
        throw StateError(.writeFailed, "can't be given this name", path: name, cause: String(cString: strerror(errno)))
      }
      // Of two names of the same file rename keeps both.
      if manager.fileExists(atPath: temporary) { try manager.removeItem(atPath: temporary) }
    } catch let error as StateError {
      try? manager.removeItem(atPath: temporary)
      throw error
    } catch {
      try? manager.removeItem(atPath: temporary)
      throw StateError(
        .writeFailed, "the checkpoint is safe at \(path), but can't be kept under this name too", path: name,
        cause: "\(error)")
    }
  }

  /// The numbered checkpoints beside a path, newest first.
  private static func siblings(of path: String) throws -> [String] {
    let url = URL(filePath: path)
    let folder = url.deletingLastPathComponent()
    let prefix = url.deletingPathExtension().lastPathComponent + "-step"
    return try contents(of: folder.path)
      .filter { name in
        guard name.hasPrefix(prefix), name.hasSuffix(".h5") else { return false }
        let digits = name.dropFirst(prefix.count).dropLast(3)
        return !digits.isEmpty && digits.allSatisfy { $0.isASCII && $0.isNumber }
      }
      .sorted(by: >)
      .map { folder.appending(path: $0).path }
  }

  private static func files(in folder: String) throws -> [String] {
    let dated = try contents(of: folder).filter { $0.hasSuffix(".h5") }.map { name -> (path: String, date: Date) in
      let path = URL(filePath: folder).appending(path: name).path
      let date = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
      return (path, date ?? .distantPast)
    }
    return dated.sorted { ($0.date, $0.path) > ($1.date, $1.path) }.map(\.path)
  }

  private static func contents(of folder: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder)
    } catch {
      throw StateError(.unreadable, "the folder can't be listed", path: folder, cause: "\(error)")
    }
  }
}
