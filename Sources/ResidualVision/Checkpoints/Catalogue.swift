import Foundation
import ResidualState

/// Checkpoints with names: where they are, how to tell that they are whole, how good they are and how they were made.
///
/// This project's is `checkpoints/catalogue.json`.
public struct Catalogue: Sendable, Equatable, Decodable {
  /// The checkpoints, in the file's order.
  public let checkpoints: [CatalogueEntry]

  /// Reads a catalogue.
  ///
  /// - Throws: `DatasetError` when there is no such file, it is no catalogue, or an entry could not be checked.
  public init(contentsOf path: String) throws(DatasetError) {
    let file = try ReadableFile(path: path)
    let bytes = try file.read(upTo: file.byteCount)
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(Catalogue.self, from: Data(bytes))
    } catch {
      throw DatasetError(
        .wrongFormat, "is no catalogue of checkpoints; see checkpoints/README.md for its fields", path: path,
        cause: "\(error)")
    }
    for entry in checkpoints {
      guard let problem = entry.problem else { continue }
      throw DatasetError(.wrongFormat, "the entry \"\(entry.name)\" \(problem)", path: path)
    }
  }

  /// The checkpoint of that name.
  ///
  /// - Throws: `DatasetError`, `.invalidRequest`, with the name that may be meant.
  public func entry(named name: String) throws(DatasetError) -> CatalogueEntry {
    if let entry = checkpoints.first(where: { $0.name == name }) { return entry }
    let hint = closestKey(to: name, among: Set(checkpoints.map(\.name))).map { " Did you mean \"\($0)\"?" } ?? ""
    throw DatasetError(
      .invalidRequest, "the catalogue has no checkpoint \"\(name)\".\(hint) resnet fetch --list shows all of them")
  }
}
