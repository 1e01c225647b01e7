import Foundation

/// What stops the comparison with PyTorch before it begins.
///
/// Tests fail with it; none is skipped.
struct ReferenceError: Error, CustomStringConvertible {
  let description: String
}

/// Where PyTorch's results are: made by `tools/reference/parity.py`, which `tools/test` runs before the tests.
enum ReferenceFolder {
  static let repository = URL(filePath: #filePath).appending(path: "../../../..").standardizedFileURL

  /// The folder with cases.json: `RESIDUAL_PARITY`, or else `.build-parity`, made here if Python and torch are there.
  static func url() throws -> URL { try located.get() }

  private static let located = Result { () throws -> URL in
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["RESIDUAL_PARITY"] {
      let folder = URL(filePath: path, directoryHint: .isDirectory)
      guard FileManager.default.fileExists(atPath: folder.appending(path: "cases.json").path) else {
        throw ReferenceError(description: "RESIDUAL_PARITY is \(path), which holds no cases.json; run tools/test")
      }
      return folder
    }
    let folder = repository.appending(path: ".build-parity", directoryHint: .isDirectory)
    if try !isUpToDate(folder.appending(path: "cases.json")) {
      try Python.run("tools/reference/parity.py", [folder.path])
    }
    return folder
  }

  /// Whether a file is younger than every script it can depend on.
  static func isUpToDate(_ file: URL) throws -> Bool {
    let scripts = try FileManager.default.contentsOfDirectory(
      at: repository.appending(path: "tools/reference"), includingPropertiesForKeys: nil)
    guard let made = try? modificationDate(file) else { return false }
    return try scripts.filter { $0.pathExtension == "py" }.allSatisfy { try modificationDate($0) < made }
  }

  private static func modificationDate(_ file: URL) throws -> Date {
    let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
    return attributes[.modificationDate] as? Date ?? .distantPast
  }

  /// A JSON list in the folder.
  static func decode<Entry: Decodable>(_ type: Entry.Type, from name: String) throws -> [Entry] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode([Entry].self, from: Data(contentsOf: url().appending(path: name)))
  }
}

/// The Python with torch, numpy and h5py: `RESIDUAL_PYTHON`, or that of the virtual environment.
enum Python {
  /// Runs a script of the repository and returns what it printed.
  @discardableResult
  static func run(_ script: String, _ arguments: [String]) throws -> String {
    let repository = ReferenceFolder.repository
    let interpreter =
      ProcessInfo.processInfo.environment["RESIDUAL_PYTHON"] ?? repository.appending(path: ".venv/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: interpreter) else {
      throw ReferenceError(
        description: "there is no \(interpreter) to compute PyTorch's results with; run tools/test, which makes it")
    }
    let process = Process()
    process.executableURL = URL(filePath: interpreter)
    process.arguments = [repository.appending(path: script).path] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ReferenceError(
        description: "\(interpreter) \(script) failed with status \(process.terminationStatus); run tools/test. "
          + "It printed:\n\(output)")
    }
    return output
  }
}
