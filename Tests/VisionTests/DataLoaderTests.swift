import Testing

@testable import ResidualVision

@Suite("Batches")
struct DataLoaderTests {
  /// Three images of 2 channels, 2 x 3 pixels, whose bytes count up from 0.
  private func images() throws -> LabeledImages {
    try LabeledImages(
      pixels: Array(0..<36), labels: [2, 0, 1], channels: 2, height: 2, width: 3, classNames: ["a", "b", "c"])
  }

  private func filled(_ loader: DataLoader, _ batch: ArraySlice<Int>) -> [Float] {
    let count = loader.imageSize * loader.imageSize * batch.count * loader.images.channels
    var values = [Float](repeating: .nan, count: count)
    values.withUnsafeMutableBufferPointer { loader.fill($0, with: batch) }
    return values
  }

  @Test("Pixels lie as [H, W, N, C], scaled to 0...1, framed in black, the odd pixel below and to the right")
  func layout() throws {
    let loader = try DataLoader(images(), batchSize: 2, order: .sequential, imageSize: 4)
    let values = filled(loader, [2, 0])
    // By the definition, one pixel at a time: rows 1 and 2, columns 0 to 2 of the 4 x 4 pixels hold the image.
    for y in 0..<4 {
      for x in 0..<4 {
        for (n, image) in [2, 0].enumerated() {
          for c in 0..<2 {
            let isInside = (1...2).contains(y) && x < 3
            let byte = isInside ? ((image * 2 + c) * 2 + y - 1) * 3 + x : 0
            #expect(values[((y * 4 + x) * 2 + n) * 2 + c] == Float(byte) / 255)
          }
        }
      }
    }
  }

  @Test("28 x 28 becomes 32 x 32 with two black pixels on each side, unless asked otherwise")
  func defaultSize() throws {
    let digits = try LabeledImages(
      pixels: [UInt8](repeating: 255, count: 784), labels: [0], channels: 1, height: 28, width: 28, classNames: ["0"])
    for (size, frame) in [(nil, 2), (28, 0), (64, 18), (33, 2)] as [(Int?, Int)] {
      let loader = try DataLoader(digits, batchSize: 1, order: .sequential, imageSize: size)
      #expect(loader.imageSize == size ?? 32)
      let values = filled(loader, [0])
      let inside = frame..<frame + 28
      for y in 0..<loader.imageSize {
        for x in 0..<loader.imageSize {
          #expect(values[y * loader.imageSize + x] == (inside.contains(y) && inside.contains(x) ? 1 : 0))
        }
      }
    }
  }

  @Test("Mean and standard deviation, one for all channels or one each; the frame is normalised too")
  func normalisation() throws {
    let each = try DataLoader(
      images(), batchSize: 1, order: .sequential, imageSize: 3, mean: [0.5, 0.25], std: [0.5, 2])
    let values = filled(each, [1])
    #expect(values[0] == (Float(12) / 255 - 0.5) / 0.5)
    #expect(values[1] == (Float(18) / 255 - 0.25) / 2)
    #expect(values.suffix(2) == [-1, -0.125])

    let one = try DataLoader(images(), batchSize: 1, order: .sequential, imageSize: 3, mean: [0.5], std: [0.5])
    #expect(filled(one, [1]).suffix(2) == [-1, -1])
  }

  @Test("The last batch has what is left; an epoch goes through every image once")
  func batches() throws {
    let loader = try DataLoader(images(), batchSize: 2, order: .sequential)
    #expect(loader.batchCount == 2)
    #expect(loader.batches(epoch: 5) == [[0, 1], [2]])
    #expect(loader.labels(of: [2, 0]) == [1, 2])
    let shuffled = try DataLoader(images(), batchSize: 2, order: .shuffled(seed: 1))
    #expect(shuffled.batches(epoch: 0).map(\.count) == [2, 1])
    #expect(shuffled.batches(epoch: 0).joined().sorted() == [0, 1, 2])
  }

  @Test("Requests that can't be fulfilled say what can")
  func requests() throws {
    let images = try images()
    func make(batchSize: Int = 1, imageSize: Int? = nil, mean: [Float] = [], std: [Float] = []) throws {
      _ = try DataLoader(
        images, batchSize: batchSize, order: .sequential, imageSize: imageSize, mean: mean, std: std)
    }
    expectError(.invalidRequest, at: nil, saying: "0 images", "from 1 up") { try make(batchSize: 0) }
    expectError(.invalidRequest, at: nil, saying: "2 x 3", "from 3 up") { try make(imageSize: 2) }
    expectError(.invalidRequest, at: nil, saying: "1000000 is too large", "16384") { try make(imageSize: 1_000_000) }
    expectError(.invalidRequest, at: nil, saying: "mean has 3 values", "2 channels") { try make(mean: [0, 0, 0]) }
    expectError(.invalidRequest, at: nil, saying: "must be positive") { try make(std: [0]) }
    expectError(.invalidRequest, at: nil, saying: "std must be finite") { try make(std: [.nan, 1]) }
  }
}

@Suite("The order of an epoch")
struct EpochOrderTests {
  @Test("The permutation of PyTorch's DistributedSampler: torch.randperm(8) after manual_seed(seed + epoch)")
  func torch() {
    // list(DistributedSampler(range(8), num_replicas=1, rank=0, seed=3)) after set_epoch(0), (1) and (2), torch 2.15.
    let epochs = (0...2).map { EpochOrder.shuffled(seed: 3).indices(epoch: $0, count: 8) }
    #expect(epochs == [[2, 4, 3, 5, 1, 0, 6, 7], [2, 7, 3, 6, 5, 1, 4, 0], [3, 6, 0, 2, 1, 4, 5, 7]])
    #expect(EpochOrder.shuffled(seed: 4).indices(epoch: 0, count: 8) == epochs[1])
  }

  @Test("A pure function: the same again, another one for another epoch")
  func pure() {
    let order = EpochOrder.shuffled(seed: 7)
    #expect(order.indices(epoch: 3, count: 1000) == order.indices(epoch: 3, count: 1000))
    #expect(order.indices(epoch: 3, count: 1000) != order.indices(epoch: 4, count: 1000))
    #expect(order.indices(epoch: 3, count: 1000).sorted() == Array(0..<1000))
    #expect(EpochOrder.sequential.indices(epoch: 3, count: 4) == [0, 1, 2, 3])
  }
}
