import Foundation
import Testing

@testable import ResidualTensor

@Suite("Random numbers are torch's")
struct RandomTests {
  let fixture: RandomFixture

  init() throws {
    let folder = try #require(Bundle.module.resourceURL)
    fixture = try JSONDecoder().decode(
      RandomFixture.self, from: Data(contentsOf: folder.appending(path: "Fixtures/random.json")))
  }

  @Test("The ten-thousandth number of seed 5489 is the one the C++ standard publishes")
  func publishedVector() {
    var twister = MersenneTwister(seed: 5489)
    var value: UInt32 = 0
    for _ in 0..<10_000 { value = twister.next() }
    #expect(value == 4_123_659_995)
  }

  @Test("Raw draws, of which only the low 32 bits of the seed decide")
  func draws() {
    for expected in fixture.draws {
      let generator = Generator(seed: expected.seed)
      expected.values.expectEqual((0..<expected.values.count).map { _ in generator.draw() & 0x7ff_ffff })
    }
  }

  @Test("Uniform numbers, bit for bit")
  func uniform() {
    for expected in fixture.uniform {
      let generator = Generator(seed: expected.seed)
      let values = filled(expected.values.count) { generator.uniform(into: $0, from: expected.low, to: expected.high) }
      expected.values.expectEqual(values.map(\.bitPattern))
    }
  }

  @Test("Normal numbers, bit for bit: below 16, from 16 on, and with a last run that is drawn anew")
  func normal() {
    for expected in fixture.normal {
      let generator = Generator(seed: expected.seed)
      let values = filled(expected.values.count) { generator.normal(into: $0, mean: expected.mean, std: expected.std) }
      #expect(values.map(\.bitPattern) == expected.values)
    }
  }

  @Test("Long normal sequences, bit for bit")
  func longNormal() {
    for expected in fixture.longNormal {
      let generator = Generator(seed: expected.seed)
      let values = filled(expected.values.count) { generator.normal(into: $0, mean: expected.mean, std: expected.std) }
      expected.values.expectEqual(values.map(\.bitPattern))
    }
  }

  @Test("Bernoulli numbers, bit for bit")
  func bernoulli() {
    for expected in fixture.bernoulli {
      let generator = Generator(seed: expected.seed)
      let values = filled(expected.values.count) { generator.bernoulli(into: $0, probability: expected.probability) }
      expected.values.expectEqual(values.map { UInt32($0) })
    }
  }

  @Test("Permutations")
  func randperm() {
    for expected in fixture.randperm {
      expected.values.expectEqual(Generator(seed: expected.seed).randperm(expected.values.count).map { UInt32($0) })
    }
  }

  @Test("One generator across distributions, with the cached normal value kept in between")
  func mixed() {
    let expected = fixture.mixed
    let generator = Generator(seed: expected.seed)
    #expect(filled(5) { generator.normal(into: $0, mean: 1, std: 2) }.map(\.bitPattern) == expected.normal5)
    #expect(filled(7) { generator.uniform(into: $0, from: -1, to: 1) }.map(\.bitPattern) == expected.uniform7)
    #expect(filled(33) { generator.normal(into: $0) }.map(\.bitPattern) == expected.normal33)
    #expect(filled(2) { generator.normal(into: $0, mean: -3, std: 0.5) }.map(\.bitPattern) == expected.normal2)
    #expect(generator.randperm(10) == expected.randperm10)
    #expect(filled(1) { generator.normal(into: $0) }.map(\.bitPattern) == expected.normal1)
    #expect(filled(9) { generator.bernoulli(into: $0, probability: 0.5) }.map { Int($0) } == expected.bernoulli9)
  }

  @Test("A state that was saved as plain numbers continues the sequence, cached normal included")
  func saveAndRestore() throws {
    let generator = Generator(seed: 3)
    _ = filled(7) { generator.normal(into: $0) }
    let saved = generator.state
    #expect(saved.cachedNormal != nil)
    let restored = try #require(
      Generator.State(words: saved.words, position: saved.position, cachedNormal: saved.cachedNormal))
    let uninterrupted = filled(41) { generator.normal(into: $0) } + filled(3) { generator.normal(into: $0) }

    let other = Generator(seed: 99)
    other.state = restored
    #expect(filled(41) { other.normal(into: $0) } + filled(3) { other.normal(into: $0) } == uninterrupted)

    other.manualSeed(3)
    #expect(other.state == Generator.State(seed: 3))
  }

  @Test("A state that no generator can have is refused")
  func impossibleStates() {
    let words = Generator.State(seed: 0).words
    #expect(Generator.State(words: words.dropLast(), position: 0, cachedNormal: nil) == nil)
    #expect(Generator.State(words: words, position: 625, cachedNormal: nil) == nil)
    #expect(Generator.State(words: words, position: -1, cachedNormal: nil) == nil)
    #expect(Generator.State(words: words, position: 0, cachedNormal: .nan) == nil)
    #expect(Generator.State(words: words.map { _ in 0 }, position: 0, cachedNormal: nil) == nil)
    #expect(Generator.State(words: words, position: 624, cachedNormal: nil) == Generator.State(seed: 0))
  }

  @Test("Threads that share a generator get each number once")
  func sharedBetweenThreads() async {
    let generator = Generator(seed: 1)
    let shared = await withTaskGroup(of: [UInt32].self) { group in
      for _ in 0..<4 { group.addTask { (0..<500).map { _ in generator.draw() } } }
      return await group.reduce(into: []) { $0 += $1 }
    }
    let alone = Generator(seed: 1)
    #expect(shared.sorted() == (0..<2000).map { _ in alone.draw() }.sorted())
  }
}

private func filled(_ count: Int, by fill: (UnsafeMutableBufferPointer<Float>) -> Void) -> [Float] {
  var values = [Float](repeating: .nan, count: count)
  values.withUnsafeMutableBufferPointer { fill($0) }
  return values
}

/// The contents of Fixtures/random.json, which tools/reference/random_fixtures.py writes with PyTorch.
struct RandomFixture: Decodable {
  struct Draws: Decodable {
    let seed: UInt64
    let values: LongSequence
  }

  struct Uniform: Decodable {
    let seed: UInt64
    let low: Double
    let high: Double
    let values: LongSequence
  }

  struct Normal: Decodable {
    let seed: UInt64
    let mean: Double
    let std: Double
    let values: [UInt32]
  }

  struct LongNormal: Decodable {
    let seed: UInt64
    let mean: Double
    let std: Double
    let values: LongSequence
  }

  struct Bernoulli: Decodable {
    let seed: UInt64
    let probability: Double
    let values: LongSequence
  }

  struct Mixed: Decodable {
    let seed: UInt64
    let normal5: [UInt32]
    let uniform7: [UInt32]
    let normal33: [UInt32]
    let normal2: [UInt32]
    let randperm10: [Int]
    let normal1: [UInt32]
    let bernoulli9: [Int]
  }

  /// A sequence known by its ends and a checksum.
  struct LongSequence: Decodable {
    let count: Int
    let first: [UInt32]
    let last: [UInt32]
    let checksum: UInt32

    func expectEqual(_ values: [UInt32], sourceLocation: SourceLocation = #_sourceLocation) {
      var sum: UInt32 = 0
      for (index, value) in values.enumerated() {
        sum &+= UInt32(truncatingIfNeeded: index + 1) &* value
      }
      #expect(values.count == count, sourceLocation: sourceLocation)
      #expect(Array(values.prefix(8)) == first, sourceLocation: sourceLocation)
      #expect(Array(values.suffix(8)) == last, sourceLocation: sourceLocation)
      #expect(sum == checksum, sourceLocation: sourceLocation)
    }
  }

  let draws: [Draws]
  let uniform: [Uniform]
  let normal: [Normal]
  let longNormal: [LongNormal]
  let bernoulli: [Bernoulli]
  let randperm: [Draws]
  let mixed: Mixed
}
