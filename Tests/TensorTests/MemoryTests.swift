import Foundation
import Testing

@testable import ResidualTensor

/// What the process holds in memory now, by the system's count.
private func residentBytes() throws -> Int {
  let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[1]
  return try #require(Int(pages)) * 4096
}

/// The pool is shared by the whole process: what counts its bytes runs in a process of its own.
@Suite("Memory")
struct MemoryTests {
  @Test("What operations had kept goes back to the pool while backward is under way")
  func backwardFreesAsItGoes() async {
    await #expect(processExitsWith: .success) {
      let x = Tensor(repeating: 1, shape: [1000]).requiringGrad()
      let tensorBytes = MemoryPool.blockSize(forBytes: 4000)
      var inUseAtTheEnd = 0
      // The operation nearest to the leaf, so the last that backward passes.
      var y = Tensor.recorded(x.storage, shape: x.shape, from: x) { _ in inUseAtTheEnd = MemoryPool.bytesInUse }
      let before = MemoryPool.bytesInUse
      for _ in 0..<50 { y = sigmoid(y) }
      #expect(MemoryPool.bytesInUse - before == 50 * tensorBytes)
      y.backward(Tensor(repeating: 1, shape: [1000]))
      // The result itself, its upstream gradient and the two gradients at hand.
      #expect(inUseAtTheEnd > 0)
      #expect(inUseAtTheEnd - before <= 4 * tensorBytes)
    }
  }

  @Test("From the second step on training takes no more memory from the system")
  func poolStaysFlat() async {
    await #expect(processExitsWith: .success) {
      let weight = Tensor(repeating: 0.1, shape: [8, 3, 3, 3]).requiringGrad()
      let scale = Tensor(repeating: 1, shape: [8]).requiringGrad()
      let shift = Tensor(repeating: 0, shape: [8]).requiringGrad()
      let head = Tensor(repeating: 0.01, shape: [10, 8 * 16]).requiringGrad()
      let images = Tensor((0..<4 * 3 * 64).map { Float($0 % 7) }, shape: [4, 3, 8, 8])
      func step() {
        let y = conv2d(images, weight: weight, bias: nil, options: .init(padding: 1))
        let normal = batchNorm(y, statistics: BatchStatistics(of: y), weight: scale, bias: shift, epsilon: 1e-5)
        let features = maxPool2d(relu(normal), kernelSize: 2).flattened()
        crossEntropy(linear(features, weight: head, bias: nil), [0, 1, 2, 3]).backward()
      }
      step()
      step()
      let (allocated, inUse, peak) = (
        MemoryPool.allocatedBytes, MemoryPool.bytesInUse, MemoryPool.peakBytesInUse
      )
      for _ in 0..<200 { step() }
      #expect(MemoryPool.allocatedBytes == allocated)
      #expect(MemoryPool.bytesInUse == inUse)
      #expect(MemoryPool.peakBytesInUse == peak)
    }
  }

  @Test("Trimming gives back what is not in use and nothing else")
  func trim() async {
    await #expect(processExitsWith: .success) {
      let kept = Tensor(repeating: 3, shape: [5000])
      do { _ = Tensor(repeating: 1, shape: [70_000]) }
      #expect(MemoryPool.allocatedBytes > MemoryPool.bytesInUse)
      MemoryPool.trim()
      #expect(MemoryPool.allocatedBytes == MemoryPool.bytesInUse)
      #expect(kept.scalars.allSatisfy { $0 == 3 })
    }
  }

  @Test("A block gives its pages to another, whole huge ones, as far as they fit")
  func pagesMove() throws {
    let (huge, sizes) = (2 << 20, [8 << 20, 11 << 20, 8 << 20])
    let blocks = try sizes.map { try #require(MemoryBlock.allocated(size: $0)) }
    for (number, block) in blocks.enumerated() { memset(block.pointer, Int32(number + 1), block.size) }
    let new = try #require(MemoryBlock.allocated(size: 20 << 20))
    var filled: [Int] = []
    for block in blocks { filled.append(block.release(to: new, at: filled.reduce(0, +))) }
    #if os(Linux)
      #expect(filled == [4 * huge, 5 * huge, huge])
    #endif
    // What moved is what was there, all of the block is there, and cleared where nothing moved.
    var start = 0
    for (number, bytes) in filled.enumerated() {
      let moved = UnsafeRawBufferPointer(start: new.pointer + start, count: bytes)
      #expect(moved.allSatisfy { $0 == UInt8(number + 1) })
      start += bytes
    }
    #expect(UnsafeRawBufferPointer(start: new.pointer + start, count: new.size - start).allSatisfy { $0 == 0 })
    memset(new.pointer, 9, new.size)
    new.release()
    let small = try #require(MemoryBlock.allocated(size: 4096))
    let other = try #require(MemoryBlock.allocated(size: 8 << 20))
    #expect(small.release(to: other, at: 0) == 0)
    other.release()
  }

  @Test("When sizes change the pool stays near what was in use at once, and its blocks hold what is written")
  func sizesChange() async {
    await #expect(processExitsWith: .success) {
      for round in 0..<20 {
        let size = [30, 13, 50, 7, 22][round % 5] << 18
        let tensors = (0..<(50 << 18) * 2 / size).map { Tensor(repeating: Float($0 + round), shape: [size]) }
        for (number, tensor) in tensors.enumerated() {
          #expect(tensor.storage.pointer[0] == Float(number + round))
          #expect(tensor.storage.pointer[size - 1] == Float(number + round))
          #expect(tensor.storage.pointer[size / 2] == Float(number + round))
        }
        #expect(MemoryPool.allocatedBytes <= MemoryPool.peakBytesInUse + (64 << 20))
      }
      let kept = try residentBytes()
      #expect(kept <= MemoryPool.allocatedBytes + (80 << 20))
    }
  }

  @Test("Blocks are large enough, on cache lines, and waste at most an eighth")
  func blockSizes() {
    for bytes in [1, 4, 63, 64, 65, 511, 512, 513, 1000, 4096, 4097, 65_537, 1 << 20, (1 << 20) + 1, 100_000_001] {
      let size = MemoryPool.blockSize(forBytes: bytes)
      #expect(size >= bytes && size % 64 == 0)
      #expect(size <= max(bytes + 63, bytes + bytes / 8 + 64))
      #expect(MemoryPool.blockSize(forBytes: size) == size)
    }
  }

  @Test("The sizes of blocks are numbered in order, without gaps")
  func sizeNumbers() {
    var size = 0
    for number in 0..<400 {
      size = MemoryPool.blockSize(forBytes: size + 1)
      #expect(MemoryPool.sizeNumber(ofBlock: size) == number, "\(size) bytes")
    }
    #expect(size > 1 << 56)
  }

  @Test("Numbers too small for a full mantissa count as zero, unless switched off, and only while kernels run")
  func denormals() async {
    await #expect(processExitsWith: .success) {
      let tiny = Tensor(repeating: 1e-38, shape: [100_000])
      #expect((tiny * 0.01).scalars.allSatisfy { $0 == 0 })
      let outside = tiny.scalars[0] * Float(tiny.count) * 1e-7
      #expect(outside > 0 && outside.isSubnormal)
      Threads.flushesDenormals = false
      #expect((tiny * 0.01).scalars.allSatisfy { $0 > 0 && $0.isSubnormal })
    }
  }
}

@Suite("Memory format")
struct MemoryFormatTests {
  static let shapes: [[Int]] = [
    [], [1], [7], [0], [2, 3], [1, 5], [5, 1], [2, 3, 4], [1, 1, 6], [3, 1, 2], [2, 3, 4, 5], [1, 3, 5, 7],
    [4, 1, 3, 3], [2, 3, 1, 1], [1, 1, 4, 4], [65, 33, 3, 2], [2, 3, 2, 3, 4], [1, 2, 1, 3, 1],
    [0, 3, 2, 2], [2, 3, 0, 2],
  ]

  @Test("Elements come out as they went in, at any rank", arguments: shapes)
  func roundTrip(shape: [Int]) {
    let scalars = (0..<shape.elementCount).map { Float($0) }
    let tensor = Tensor(scalars, shape: shape)
    #expect(tensor.shape == shape && tensor.rank == shape.count && tensor.count == scalars.count)
    #expect(tensor.scalars == scalars)
    #expect(tensor.copied().scalars == scalars)
  }

  @Test("In memory the positions come first and the channels last")
  func physicalOrder() {
    let (n, c, h, w) = (2, 3, 4, 5)
    let tensor = Tensor((0..<n * c * h * w).map { Float($0) }, shape: [n, c, h, w])
    for image in 0..<n {
      for channel in 0..<c {
        for y in 0..<h {
          for x in 0..<w {
            let logical = ((image * c + channel) * h + y) * w + x
            #expect(tensor.storage.pointer[((y * w + x) * n + image) * c + channel] == Float(logical))
          }
        }
      }
    }
  }

  @Test(
    "Reshaping keeps the logical order, forwards and backwards",
    arguments: [
      ([2, 3, 4, 5], [2, 60]), ([2, 60], [2, 3, 4, 5]), ([2, 3, 4, 5], [120]), ([2, 3, 4, 5], [5, 4, 3, 2]),
      ([2, 3, 4], [4, 3, 2]), ([2, 8, 1, 1], [2, 8]), ([1, 1, 4, 5], [20]), ([1], []), ([2, 3, 2, 3, 4], [6, 2, 12]),
    ])
  func reshape(from: [Int], to: [Int]) {
    let scalars = (0..<from.elementCount).map { Float($0) }
    let x = Tensor(scalars, shape: from).requiringGrad()
    let y = x.reshaped(to)
    #expect(y.shape == to)
    #expect(y.scalars == scalars)
    let upstream = scalars.map { 1000 - $0 }
    y.backward(Tensor(upstream, shape: to))
    #expect(x.grad?.shape == from)
    #expect(x.grad?.scalars == upstream)
  }

  @Test("Flattening is reshaping to [N, rest]")
  func flatten() {
    let scalars = (0..<24).map { Float($0) }
    let y = Tensor(scalars, shape: [2, 3, 2, 2]).flattened()
    #expect(y.shape == [2, 12])
    #expect(y.scalars == scalars)
    #expect(Tensor(scalars, shape: [24]).flattened().shape == [24, 1])
  }

  @Test("The same bits with any number of threads")
  func threads() {
    let count = Threads.count
    defer { Threads.count = count }
    let generator = Generator(seed: 1)
    var scalars = [Float](repeating: 0, count: 8 * 16 * 20 * 20)
    scalars.withUnsafeMutableBufferPointer { generator.normal(into: $0) }
    func result(threads: Int) -> [Float] {
      Threads.count = threads
      let x = Tensor(scalars, shape: [8, 16, 20, 20]).requiringGrad()
      let y = batchNorm(x, statistics: BatchStatistics(of: x), weight: nil, bias: nil, epsilon: 1e-5)
      let z = (relu(y) * x).sum()
      z.backward()
      return [z.item] + (x.grad?.scalars ?? [])
    }
    let one = result(threads: 1)
    for threads in [2, 3, 7] { #expect(result(threads: threads) == one) }
  }
}
