import Foundation
import Testing

@testable import ResidualVision

@Suite("MNIST's format")
struct MNISTTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Writes a split of three 2 x 2 images with the labels 7, 0, 9.
  private func writeSplit(_ prefix: String, in place: String = "", labels: [UInt8] = [7, 0, 9]) throws {
    try folder.write(gzip(idx([3, 2, 2], Array(1...12))), to: "\(place)\(prefix)-images-idx3-ubyte.gz")
    try folder.write(idx([UInt32(labels.count)], labels), to: "\(place)\(prefix)-labels-idx1-ubyte")
  }

  private func path(_ name: String) -> String { folder.url.appending(path: name).path }

  @Test("Loads gzipped and plain files, beside each other or in raw", arguments: ["", "raw/"])
  func loads(place: String) throws {
    try writeSplit("train", in: place)
    let images = try MNIST.digits.load(.train, from: folder.url)
    #expect(images.pixels == Array(1...12))
    #expect(images.labels == [7, 0, 9])
    #expect((images.count, images.channels, images.height, images.width, images.classes) == (3, 1, 2, 2, 10))
    #expect(images.prefix(2).labels == [7, 0])
    #expect(images.prefix(2).pixels == Array(1...8))
    #expect(images.prefix(5).count == 3)
  }

  @Test("A missing file is named, with the way to get it")
  func missing() throws {
    try writeSplit("train")
    expectError(
      .missing, at: folder.url.path, saying: "t10k-images-idx3-ubyte.gz", "raw", "--data mnist to download them"
    ) { _ = try MNIST.digits.load(.test, from: folder.url) }
  }

  @Test("A label out of range is named by file and index")
  func labelOutOfRange() throws {
    try writeSplit("t10k", labels: [7, 10, 255])
    expectError(.labelOutOfRange, at: path("t10k-labels-idx1-ubyte"), saying: "label 10 of image 1", "0...9") {
      _ = try MNIST.digits.load(.test, from: folder.url)
    }
  }

  @Test("As many labels as images, at least one image, of at least one pixel")
  func counts() throws {
    try writeSplit("t10k", labels: [7, 0])
    expectError(
      .inconsistent, at: path("t10k-labels-idx1-ubyte"), saying: "2 labels", "3 images",
      path("t10k-images-idx3-ubyte.gz"), "get both again"
    ) { _ = try MNIST.digits.load(.test, from: folder.url) }

    try folder.write(idx([0, 2, 2], []), to: "train-images-idx3-ubyte")
    try folder.write(idx([0], []), to: "train-labels-idx1-ubyte")
    expectError(.truncated, at: path("train-images-idx3-ubyte"), saying: "no images") {
      _ = try MNIST.digits.load(.train, from: folder.url)
    }
    try folder.write(idx([1, 0, 2], []), to: "train-images-idx3-ubyte")
    expectError(.wrongFormat, at: path("train-images-idx3-ubyte"), saying: "0 x 2 pixels") {
      _ = try MNIST.digits.load(.train, from: folder.url)
    }
  }

  @Test("What is missing is downloaded, whatever program packed it; what is there stays as it is")
  func download() throws {
    let content = idx([3], [7, 0, 9])
    var hash = SHA256()
    hash.update(content)
    let published = MNIST.PublishedFile(unpackedByteCount: content.count, unpackedSHA256: hash.finish())
    for served in [try gzip(content), content] {
      let server = try LoopbackServer(served)
      defer { server.stop() }
      let dataset = MNIST(
        name: "tiny", classNames: MNIST.digits.classNames, mirrors: [try server.url("tiny/").absoluteString],
        published: Dictionary(uniqueKeysWithValues: MNIST.Part.all.map { ($0, published) }))
      let folder = try TemporaryFolder()
      try folder.write([1], to: "train-images-idx3-ubyte")
      try dataset.download(to: folder.url)
      #expect(
        try folder.fileNames == [
          "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "train-images-idx3-ubyte",
          "train-labels-idx1-ubyte.gz",
        ])
      try #require(server.requests.count == 3)
      #expect(server.requests[1].hasPrefix("GET /tiny/t10k-images-idx3-ubyte.gz HTTP/1.1"))
      #expect(
        try IDXFile(path: folder.url.appending(path: "t10k-labels-idx1-ubyte.gz").path, rank: 1).bytes == [7, 0, 9])
    }
  }

  @Test("Tampered and broken downloads leave nothing behind")
  func badDownloads() throws {
    let content = idx([3], [7, 0, 9])
    let published = MNIST.PublishedFile(unpackedByteCount: content.count, unpackedSHA256: "00")
    let packed = try gzip(content)
    let answers: [([UInt8], LoopbackServer.Mode, String)] = [
      (packed, .good, "is not the published file"), (packed, .webPage, "web page"), (packed, .notFound, "HTTP 404"),
      (packed, .hangsUp(after: 10), "the connection"), (Array(packed.dropLast()), .good, "gzip data ends early"),
      (packed + [0], .good, "after the end of the gzip data"),
      (try gzip([UInt8](repeating: 0, count: 1 << 22)), .good, "sends more than"),
    ]
    for (served, mode, reason) in answers {
      let server = try LoopbackServer(served, mode: mode)
      defer { server.stop() }
      let dataset = MNIST(
        name: "tiny", classNames: [], mirrors: [try server.url("").absoluteString],
        published: Dictionary(uniqueKeysWithValues: MNIST.Part.all.map { ($0, published) }))
      expectError(
        .downloadFailed, at: path("train-images-idx3-ubyte.gz"), saying: reason, "check the connection", "by hand"
      ) { try dataset.download(to: folder.url) }
      #expect(try folder.fileNames == [])
    }
  }
}

@Suite("CIFAR-10's binary format")
struct CIFAR10Tests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func record(_ label: UInt8, _ value: UInt8) -> [UInt8] {
    [label] + (0..<3).flatMap { [UInt8](repeating: value + $0, count: 1024) }
  }

  @Test("The test split alone, and the five training batches in their order")
  func loads() throws {
    try folder.write(record(3, 10) + record(9, 20), to: "test_batch.bin")
    let test = try CIFAR10.load(.test, from: folder.url)
    #expect((test.count, test.channels, test.height, test.width, test.classes) == (2, 3, 32, 32, 10))
    #expect(test.labels == [3, 9])
    #expect([0, 1023, 1024, 2048, 3071, 3072].map { test.pixels[$0] } == [10, 10, 11, 12, 12, 20])

    expectError(.missing, at: folder.url.path, saying: "data_batch_1.bin", "data_batch_5.bin", "cifar-10-binary.tar.gz")
    {
      _ = try CIFAR10.load(.train, from: folder.url)
    }
    for batch in 1...5 {
      try folder.write(record(UInt8(batch), 0), to: "cifar-10-batches-bin/data_batch_\(batch).bin")
    }
    #expect(try CIFAR10.load(.train, from: folder.url).labels == [1, 2, 3, 4, 5])
  }

  @Test("A label above 9, a wrong size, an empty file")
  func bad() throws {
    let path = try folder.write(record(3, 0) + record(10, 0), to: "test_batch.bin")
    expectError(.labelOutOfRange, at: path, saying: "label 10 of image 1", "0...9") {
      _ = try CIFAR10.load(.test, from: folder.url)
    }
    for bytes in [record(3, 0).dropLast(), record(3, 0) + [0], []] {
      try folder.write(Array(bytes), to: "test_batch.bin")
      expectError(.wrongFormat, at: path, saying: "\(bytes.count) bytes", "3073-byte records", "get it again") {
        _ = try CIFAR10.load(.test, from: folder.url)
      }
    }
  }
}

@Suite("What --data means")
struct DatasetSourceTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func writeMNIST(to place: String) throws {
    for prefix in ["train", "t10k"] {
      try folder.write(idx([1, 2, 2], [1, 2, 3, 4]), to: "\(place)/\(prefix)-images-idx3-ubyte")
      try folder.write(idx([1], [5]), to: "\(place)/\(prefix)-labels-idx1-ubyte")
    }
  }

  @Test("A known name is found in the cache folder", arguments: ["mnist", "fashion-mnist"])
  func cached(name: String) throws {
    try writeMNIST(to: name)
    let source = try DatasetSource(name, environment: ["RESIDUAL_DATA": folder.url.path])
    #expect(source.name == name)
    #expect(source.folder.path == folder.url.appending(path: name).path)
    let images = try source.load(.test)
    #expect(images.labels == [5])
    #expect(images.classNames[5] == (name == "mnist" ? "5" : "Sandal"))
  }

  @Test("The cache folder: RESIDUAL_DATA, XDG_CACHE_HOME, home")
  func cacheFolder() {
    func path(_ environment: [String: String]) -> String {
      DatasetSource.cacheFolder(for: "mnist", environment: environment).path
    }
    #expect(path(["RESIDUAL_DATA": "/data", "XDG_CACHE_HOME": "/cache"]) == "/data/mnist")
    #expect(path(["RESIDUAL_DATA": "", "XDG_CACHE_HOME": "/cache"]) == "/cache/residual/mnist")
    #expect(path([:]).hasSuffix("/.cache/residual/mnist"))
  }

  @Test("A folder is told by what it holds")
  func folders() throws {
    try writeMNIST(to: "digits/raw")
    #expect(try DatasetSource(folder.url.appending(path: "digits").path).load(.train).labels == [5])
    try folder.write([4] + [UInt8](repeating: 0, count: 3072), to: "colour/test_batch.bin")
    let source = try DatasetSource(folder.url.appending(path: "colour").path)
    #expect(source.name == "cifar10")
    #expect(try source.load(.test).labels == [4])
  }

  @Test("No folder, and a folder with nothing in it")
  func nothing() throws {
    let path = folder.url.appending(path: "mnits").path
    expectError(.missing, at: path, saying: "is no folder", "mnist, fashion-mnist or a folder") {
      _ = try DatasetSource(path)
    }
    expectError(
      .missing, at: folder.url.path, saying: "holds no data set", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
      "data_batch_1.bin", "test_batch.bin"
    ) { _ = try DatasetSource(folder.url.path) }
  }
}
