import ArgumentParser
import Foundation
import Residual

/// `resnet fetch`: weights by name.
struct FetchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fetch", abstract: "Download weights that the catalogue names, and check them.",
    discussion: """
      A file that is there already is only checked; a download that broke off goes on where it stopped. Under its name \
      there is only ever the whole file.
      """)

  @Argument(help: "The checkpoint's name; --list shows all of them.") var name: String?
  @Flag(help: "List the checkpoints of the catalogue.") var list = false
  @Option(help: "The catalogue.") var catalogue = "checkpoints/catalogue.json"
  @Option(help: ArgumentHelp("Where the file goes; beside the catalogue unless given.", valueName: "file"))
  var output: String?
  @Flag(help: "One JSON object a line on standard output.") var json = false

  func validate() throws {
    guard (name != nil) != list else { throw ValidationError("fetch takes a checkpoint's name, or --list") }
  }

  func run() throws {
    let catalogue = try Catalogue(contentsOf: catalogue)
    guard let name else { return try show(catalogue) }
    let entry: CatalogueEntry
    do throws(DatasetError) {
      entry = try catalogue.entry(named: name)
    } catch {
      throw ValidationError(error.message)
    }
    let target = output.map { URL(filePath: $0) } ?? folder.appending(path: entry.file)
    let isNew = try entry.fetch(to: target) {
      Console.writeError("downloading \(entry.source ?? ""), \(entry.sizeInWords)")
    }
    let output = Output(json: json)
    if json { return try output.write(FetchLine(entry, path: target.relativePath, isNew: isNew)) }
    try output.say("\(target.relativePath): \(isNew ? "downloaded" : "was there already"), size and SHA-256 are right")
  }

  private var folder: URL { URL(filePath: catalogue).deletingLastPathComponent() }

  private func show(_ catalogue: Catalogue) throws {
    let output = Output(json: json)
    for entry in catalogue.checkpoints {
      if json {
        try output.write(entry)
      } else {
        let metrics = entry.metrics.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        try output.say("\(entry.name)  \(entry.sizeInWords)  \(metrics.joined(separator: ", "))")
      }
    }
  }
}

extension CatalogueEntry {
  fileprivate var sizeInWords: String {
    size.map { "\($0) bytes" } ?? mebibytes.map { "\($0) MiB" } ?? ""
  }
}

/// The result of `fetch`.
private struct FetchLine: Encodable {
  let event = "fetch"
  let name: String
  let path: String
  let downloaded: Bool

  init(_ entry: CatalogueEntry, path: String, isNew: Bool) {
    name = entry.name
    self.path = path
    downloaded = isNew
  }
}
