import Foundation
import Testing

@testable import ResidualVision

/// The published data sets themselves, where the environment says they are.
@Suite("Real data sets")
struct RealDataTests {
  static let environment = ProcessInfo.processInfo.environment

  @Test("MNIST", .enabled(if: environment["RESIDUAL_MNIST"] != nil, "RESIDUAL_MNIST names no folder"))
  func mnist() throws {
    let folder = URL(filePath: try #require(Self.environment["RESIDUAL_MNIST"]))
    for (part, published) in MNIST.digits.published {
      let plain = folder.appending(path: part.fileName).path
      let path = FileManager.default.fileExists(atPath: plain) ? plain : plain + ".gz"
      try published.check(path)
    }
    let train = try MNIST.digits.load(.train, from: folder)
    #expect((train.count, train.channels, train.height, train.width, train.classes) == (60_000, 1, 28, 28, 10))
    #expect(train.labels.prefix(12) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5])
    let test = try MNIST.digits.load(.test, from: folder)
    #expect(test.count == 10_000)
    #expect(test.labels.prefix(12) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6])
  }

  @Test("CIFAR-10", .enabled(if: environment["RESIDUAL_CIFAR10"] != nil, "RESIDUAL_CIFAR10 names no folder"))
  func cifar10() throws {
    let folder = URL(filePath: try #require(Self.environment["RESIDUAL_CIFAR10"]))
    let test = try CIFAR10.load(.test, from: folder)
    #expect((test.channels, test.height, test.width, test.classes) == (3, 32, 32, 10))
    // The records put together again are the file.
    let records = test.labels.enumerated().flatMap { index, label in
      [UInt8(label)] + test.pixels[index * 3072..<(index + 1) * 3072]
    }
    #expect(try Data(records) == Data(contentsOf: folder.appending(path: "test_batch.bin")))
    #expect(Set(test.labels) == Set(0...9))
  }

  static let debianFolder = "/usr/share/datasets/fashion-mnist"

  @Test(
    "Fashion-MNIST of Debian's package",
    .enabled(if: FileManager.default.fileExists(atPath: debianFolder), "dataset-fashion-mnist is not installed"))
  func fashion() throws {
    let source = try DatasetSource("fashion-mnist", environment: ["RESIDUAL_DATA": "/nonexistent"])
    #expect(source.folder.path == Self.debianFolder)
    for (part, published) in MNIST.fashion.published {
      try published.check(source.folder.appending(path: part.fileName + ".gz").path)
    }
    let train = try source.load(.train)
    #expect((train.count, train.height, train.width) == (60_000, 28, 28))
    #expect(train.labels.prefix(8) == [9, 0, 0, 3, 0, 2, 7, 2])
    #expect((0..<10).allSatisfy { label in train.labels.count { $0 == label } == 6000 })
  }
}
