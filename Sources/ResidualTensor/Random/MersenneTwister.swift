/// The 32-bit Mersenne Twister MT19937 of Matsumoto and Nishimura (1998), which PyTorch's CPU generator runs on.
struct MersenneTwister: Sendable, Equatable {
  static let wordCount = 624
  private static let middle = 397

  private(set) var words: [UInt32]

  /// How many of `words` have been given out since they were last renewed.
  private(set) var position: Int

  /// Seeds with the reference implementation's `init_genrand`.
  init(seed: UInt32) {
    words = [UInt32](repeating: seed, count: Self.wordCount)
    for index in 1..<Self.wordCount {
      let previous = words[index - 1]
      words[index] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(index)
    }
    position = Self.wordCount
  }

  /// Continues from saved words; nil when they can't be a state of this generator.
  init?(words: [UInt32], position: Int) {
    guard words.count == Self.wordCount, (0...Self.wordCount).contains(position), words.contains(where: { $0 != 0 })
    else { return nil }
    self.words = words
    self.position = position
  }

  /// The next 32 random bits.
  mutating func next() -> UInt32 {
    if position == Self.wordCount { renew() }
    defer { position += 1 }
    return Self.tempered(words[position])
  }

  /// The next random words, as many as fit.
  mutating func fill(_ buffer: UnsafeMutableBufferPointer<UInt32>) {
    var filled = 0
    while filled < buffer.count {
      if position == Self.wordCount { renew() }
      let count = min(buffer.count - filled, Self.wordCount - position)
      words.withUnsafeBufferPointer { words in
        for index in 0..<count {
          buffer[filled + index] = Self.tempered(words[position + index])
        }
      }
      filled += count
      position += count
    }
  }

  private static func tempered(_ word: UInt32) -> UInt32 {
    var bits = word
    bits ^= bits >> 11
    bits ^= (bits << 7) & 0x9d2c_5680
    bits ^= (bits << 15) & 0xefc6_0000
    return bits ^ (bits >> 18)
  }

  private mutating func renew() {
    words.withUnsafeMutableBufferPointer { words in
      let wrap = Self.wordCount - Self.middle
      for index in 0..<wrap {
        words[index] = Self.twisted(words[index], words[index + 1]) ^ words[index + Self.middle]
      }
      for index in wrap..<Self.wordCount - 1 {
        words[index] = Self.twisted(words[index], words[index + 1]) ^ words[index - wrap]
      }
      let last = Self.wordCount - 1
      words[last] = Self.twisted(words[last], words[0]) ^ words[Self.middle - 1]
    }
    position = 0
  }

  private static func twisted(_ upper: UInt32, _ lower: UInt32) -> UInt32 {
    let mixed = (upper & 0x8000_0000) | (lower & 0x7fff_ffff)
    return (mixed >> 1) ^ (0 &- (mixed & 1)) & 0x9908_b0df
  }
}
