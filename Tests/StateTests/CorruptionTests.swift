import Foundation
import Testing

@testable import ResidualState

/// Every reader on files that lost their end or a bit: an error or tensors, never a crash, a hang or a mountain of memory;
/// and of files of ours, never a wrong tensor.
@Suite(.timeLimit(.minutes(10))) struct CorruptionTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A file to be damaged.
  struct Victim: Sendable, CustomTestStringConvertible {
    let name: String
    /// What a file of ours holds; nil for one that another program wrote, which has no checksums in every format.
    let content: HDF5Archive?
    var testDescription: String { name }

    static let foreign =
      [
        "all.safetensors", "zip.pth", "nested.pth", "training.pth", "deflated.pth", "legacy.pth", "nested-legacy.pth",
        "all.npz", "compressed.npz", "orders.npz",
      ].map { Victim(name: "formats/\($0)", content: nil) }
      + ["types", "nested", "latest", "attributes", "tracked-order", "compact", "big-endian"].map {
        Victim(name: "\($0).h5", content: nil)
      }

    static let ours =
      ["ours.h5", "ours.safetensors", "ours.pth", "ours.npz"].map {
        Victim(name: $0, content: HDF5Archive(smallStateDict))
      } + [
        Victim(
          name: "checkpoint.h5",
          content: HDF5Archive(
            smallStateDict,
            groups: [
              "training": ["progress": TensorData(Array("{\"step\":7}".utf8), shape: [10])],
              "optimizer": ["fc.bias.momentum": counting(10, from: 5)],
            ]))
      ]

    /// The whole file, made in `folder` where it is ours.
    func bytes(in folder: TemporaryFolder) throws -> [UInt8] {
      guard let content else {
        let resources = try #require(Bundle.module.resourceURL)
        return try [UInt8](Data(contentsOf: resources.appending(path: "Fixtures/\(name)")))
      }
      if content.groups.isEmpty {
        try content.stateDict.write(to: folder.file(name))
      } else {
        try content.write(to: folder.file(name))
      }
      return try folder.bytes(of: name)
    }

    /// Whether what was read of a damaged file is what was written.
    func isTrue(_ found: HDF5Archive) -> Bool {
      guard let content else { return true }
      func tensors(_ stateDict: StateDict) -> [String: TensorData] {
        Dictionary(uniqueKeysWithValues: stateDict.map { ($0.key, $0.value) })
      }
      return tensors(found.stateDict) == tensors(content.stateDict)
        && found.groups.mapValues(tensors) == content.groups.mapValues(tensors)
    }
  }

  @Test(arguments: Victim.foreign + Victim.ours) func everyCutIsAnError(_ victim: Victim) throws {
    let bytes = try victim.bytes(in: folder)
    var cuts = 0
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 500)) {
      let damaged = try folder.file(Array(bytes[..<length]), "damaged")
      #expect(try read(damaged, victim) == nil, "cut at \(length)")
      cuts += 1
    }
    #expect(cuts >= 500)
  }

  @Test(arguments: Victim.foreign + Victim.ours) func noFlippedBitDoesHarm(_ victim: Victim) throws {
    var bytes = try victim.bytes(in: folder)
    let memory = try PeakMemory()
    var (flips, errors) = (0, 0)
    // An odd step comes by all eight bits of a byte.
    for bit in stride(from: 0, to: bytes.count * 8, by: max(1, bytes.count * 8 / 2000 - 1) | 1) {
      bytes[bit / 8] ^= 1 << (bit % 8)
      if let found = try read(folder.file(bytes, "damaged"), victim) {
        #expect(victim.isTrue(found), "bit \(bit) changed a tensor unnoticed")
      } else {
        errors += 1
      }
      bytes[bit / 8] ^= 1 << (bit % 8)
      flips += 1
    }
    #expect(flips >= 2000)
    #expect(errors > 0)
    #expect(try memory.growth() < 64 << 20)
  }

  @Test(arguments: ["zip.pth", "all.npz"]) func checksumsCatchFlippedBitsInTensors(_ name: String) throws {
    let victim = Victim(name: "formats/\(name)", content: nil)
    var bytes = try victim.bytes(in: folder)
    let archive = try ZipArchive(InputFile(FormatFixtures.path(name)))
    var checked = 0
    for entry in archive.entries.values where entry.name.hasPrefix("zip/data/") || entry.name.hasSuffix(".npy") {
      for index in entry.dataOffset..<entry.dataEnd {
        bytes[index] ^= 0x10
        #expect(try read(folder.file(bytes, "damaged"), victim) == nil, "\(entry.name) at \(index)")
        bytes[index] ^= 0x10
        checked += 1
      }
    }
    #expect(checked > 400)
  }

  /// What a file holds, looked at from end to end; nil where reading throws.
  private func read(_ path: String, _ victim: Victim) throws -> HDF5Archive? {
    do throws(StateError) {
      let isArchive = victim.content?.groups.isEmpty == false
      let found = try isArchive ? HDF5Archive(contentsOf: path) : HDF5Archive(StateDict(contentsOf: path))
      for (_, tensor) in found.stateDict { _ = tensor.scalars(as: Double.self) }
      return found
    } catch {
      #expect(error.path == path)
      return nil
    }
  }
}

/// The most memory that the process takes from a moment on, as the system counts it.
private struct PeakMemory {
  private let before: Int

  init() throws {
    // 5 has the system forget the peak so far (proc(5)).
    let file = try FileHandle(forWritingTo: URL(filePath: "/proc/self/clear_refs"))
    try file.write(contentsOf: Data("5".utf8))
    before = try Self.peak()
  }

  /// Bytes of the peak above where it began.
  func growth() throws -> Int { try Self.peak() - before }

  private static func peak() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    return try #require(line.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first) * 1024
  }
}
