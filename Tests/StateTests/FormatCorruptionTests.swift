import Foundation
import Testing

@testable import ResidualState

/// Every reader on files that lost their end or a bit: an error or tensors, never a crash.
@Suite struct FormatCorruptionTests {
  static let names = [
    "all.safetensors", "zip.pth", "legacy.pth", "nested.pth", "training.pth", "deflated.pth", "all.npz",
    "compressed.npz",
    "orders.npz",
  ]

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func readsOrThrows(_ bytes: [UInt8], _ name: String) throws -> Bool {
    let path = try folder.file(bytes, name)
    do {
      let stateDict = try StateDict(contentsOf: path)
      // Whatever was read can be looked at from end to end.
      for (_, tensor) in stateDict { _ = tensor.scalars(as: Double.self) }
      return true
    } catch {
      #expect(error.path == path)
      return false
    }
  }

  /// Every place of a small file, some of a larger one.
  private func step(_ bytes: [UInt8]) -> Int { bytes.count < 2500 ? 1 : 7 }

  @Test(arguments: names) func everyTruncationThrows(_ name: String) throws {
    let bytes = try FormatFixtures.bytes(name)
    for length in stride(from: 0, to: bytes.count, by: step(bytes)) {
      #expect(try !readsOrThrows(Array(bytes[..<length]), name), "cut at \(length)")
    }
  }

  @Test(arguments: names) func noFlippedBitCrashes(_ name: String) throws {
    let bytes = try FormatFixtures.bytes(name)
    for index in stride(from: 0, to: bytes.count, by: step(bytes)) {
      var damaged = bytes
      damaged[index] ^= 1 << (index % 8)
      _ = try readsOrThrows(damaged, name)
    }
  }

  @Test(arguments: ["zip.pth", "all.npz"]) func checksumsCatchFlippedBitsInTensors(_ name: String) throws {
    let bytes = try FormatFixtures.bytes(name)
    let archive = try ZipArchive(InputFile(FormatFixtures.path(name)))
    var checked = 0
    for entry in archive.entries.values where entry.name.hasPrefix("zip/data/") || entry.name.hasSuffix(".npy") {
      for index in entry.dataOffset..<entry.dataEnd {
        var damaged = bytes
        damaged[index] ^= 0x10
        #expect(try !readsOrThrows(damaged, name), "\(entry.name) at \(index)")
        checked += 1
      }
    }
    #expect(checked > 400)
  }
}
