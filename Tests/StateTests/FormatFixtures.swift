import Foundation
import Testing

@testable import ResidualState

/// The files that tools/reference/make_format_fixtures.py made, and what Python says is in them.
enum FormatFixtures {
  /// A tensor as Python sees it.
  struct Expected: Decodable {
    let key: String
    let dtype: String
    let shape: [Int]
    let bytes: String
  }

  static func path(_ name: String) throws -> String {
    let folder = try #require(Bundle.module.resourceURL)
    return folder.appendingPathComponent("Fixtures/formats/\(name)").path
  }

  static func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(name))))
  }

  static func expected() throws -> [Expected] {
    try JSONDecoder().decode([Expected].self, from: Data(bytes("expected.json")))
  }

  /// Checks that `stateDict` holds what Python says, key by key and byte by byte.
  static func check(
    _ stateDict: StateDict, inOrder: Bool = true, leavingOut: Set<DataType> = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try expected().filter { !leavingOut.map(\.rawValue).contains($0.dtype) }
    #expect(stateDict.count == expected.count, sourceLocation: sourceLocation)
    if inOrder { #expect(stateDict.keys == expected.map(\.key), sourceLocation: sourceLocation) }
    for entry in expected {
      let tensor = try #require(stateDict[entry.key], "\(entry.key)", sourceLocation: sourceLocation)
      #expect(tensor.dtype.rawValue == entry.dtype, "\(entry.key)", sourceLocation: sourceLocation)
      #expect(tensor.shape == entry.shape, "\(entry.key)", sourceLocation: sourceLocation)
      let hexadecimal = tensor.withUnsafeBytes { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
      #expect(hexadecimal == entry.bytes, "\(entry.key)", sourceLocation: sourceLocation)
    }
  }
}

extension TemporaryFolder {
  /// Writes a file and returns its path.
  func file(_ bytes: [UInt8], _ name: String = "file") throws -> String { try write(bytes, to: name) }
}

func littleEndian<I: FixedWidthInteger>(_ value: I) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
