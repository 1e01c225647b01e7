import Foundation
import Testing

/// One run of the built `resnet`.
struct Command {
  let status: Int32
  let output: String
  let errors: String

  /// Runs to the end with standard output in `stdout`, else in a file that is read afterwards.
  init(_ arguments: [String], environment: [String: String] = [:], stdout: String? = nil) throws {
    let folder = try TemporaryFolder()
    let (outputPath, errorPath) = (stdout ?? folder.file("stdout"), folder.file("stderr"))
    for path in [outputPath, errorPath] where !path.hasPrefix("/dev/") { try Data().write(to: URL(filePath: path)) }
    let process = Process()
    process.executableURL = try Self.executable()
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(filePath: outputPath))
    process.standardError = try FileHandle(forWritingTo: URL(filePath: errorPath))
    try process.run()
    process.waitUntilExit()
    status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    output = stdout == nil ? try String(contentsOfFile: outputPath, encoding: .utf8) : ""
    errors = try String(contentsOfFile: errorPath, encoding: .utf8)
  }

  init(_ arguments: String...) throws { try self.init(arguments) }

  /// The lines of standard output, each of which must be a JSON object.
  func objects(sourceLocation: SourceLocation = #_sourceLocation) throws -> [JSON] {
    #expect(status == 0, "\(errors)", sourceLocation: sourceLocation)
    #expect(output.hasSuffix("\n"), sourceLocation: sourceLocation)
    return try output.split(separator: "\n").map { line in
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      return JSON(
        fields: try #require(object, "\(line)", sourceLocation: sourceLocation),
        numbers: try JSONDecoder().decode([String: JSON.Number].self, from: Data(line.utf8)))
    }
  }

  /// The losses of all steps.
  func losses(sourceLocation: SourceLocation = #_sourceLocation) throws -> [Double] {
    try objects(sourceLocation: sourceLocation).filter { $0["event"] == "step" }.map { try $0.number("loss") }
  }

  /// It lies beside the test bundle.
  static func executable() throws -> URL {
    let bundles = [Bundle.main] + Bundle.allBundles
    let folders = bundles.flatMap { [$0.bundleURL, $0.bundleURL.deletingLastPathComponent()] }
    let candidates = folders.map { $0.appending(path: "resnet") }
    return try #require(
      candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) && !$0.hasDirectoryPath },
      "no resnet beside \(folders.map(\.path)); build it first")
  }
}

/// A JSON object with its fields' types checked as they are read.
struct JSON {
  let fields: [String: Any]
  /// The numbers to the last bit, which JSONSerialization does not give.
  fileprivate let numbers: [String: Number]

  fileprivate struct Number: Decodable {
    let value: Double?

    init(from decoder: any Decoder) throws { value = try? decoder.singleValueContainer().decode(Double.self) }
  }

  var keys: Set<String> { Set(fields.keys) }

  subscript(key: String) -> String? { fields[key] as? String }

  func number(_ key: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Double {
    try #require(numbers[key]?.value, "\(key) in \(fields)", sourceLocation: sourceLocation)
  }

  func integer(_ key: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Int {
    let value = try number(key, sourceLocation: sourceLocation)
    return try #require(Int(exactly: value), "\(key) in \(fields)", sourceLocation: sourceLocation)
  }
}

/// A folder that is gone with the last reference.
final class TemporaryFolder: Sendable {
  let path = FileManager.default.temporaryDirectory.appending(path: "residual-command-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws {
    try Data(bytes).write(to: URL(filePath: file(name)))
  }
}
