import CKernels
import Foundation

extension Generator {
  /// The next 32 bits of the Mersenne Twister.
  public func draw() -> UInt32 {
    withState { $0.twister.next() }
  }

  /// Fills a buffer with uniform numbers from `[low, high)`; PyTorch: `tensor.uniform_(low, high)`, bit for bit.
  ///
  /// One draw a number: its low 24 bits times 2^-24, scaled with a fused multiply-add as PyTorch's AVX2 and AVX-512
  /// builds do it.
  public func uniform(into buffer: UnsafeMutableBufferPointer<Float>, from low: Double = 0, to high: Double = 1) {
    precondition(low <= high, "Generator.uniform: the range \(low)..<\(high) is empty")
    precondition(Float(high - low).isFinite, "Generator.uniform: the range \(low)..<\(high) is too wide for Float")
    withState { state in
      state.twister.fillUniform(buffer, from: Float(low), to: Float(high))
    }
  }

  /// Fills a buffer with normal numbers; PyTorch: `tensor.normal_(mean, std)`.
  ///
  /// Box and Muller's method (1958) on two paths, as in PyTorch: from 16 numbers on in single precision on runs of 16,
  /// below that in double precision, where the second value of a pair is kept for the next call. Both give PyTorch's
  /// bits, those of its AVX2 and AVX-512 builds.
  public func normal(into buffer: UnsafeMutableBufferPointer<Float>, mean: Double = 0, std: Double = 1) {
    precondition(std >= 0, "Generator.normal: the standard deviation \(std) is negative")
    withState { state in
      if buffer.count < 16 {
        for index in buffer.indices {
          buffer[index] = Float(state.nextNormal() * std + mean)
        }
      } else {
        state.twister.fillNormal(buffer, mean: Float(mean), std: Float(std))
      }
    }
  }

  /// Fills a buffer with ones (with the given probability) and zeros; PyTorch: `tensor.bernoulli_(probability)`, which
  /// is also the mask of its dropout, bit for bit.
  public func bernoulli(into buffer: UnsafeMutableBufferPointer<Float>, probability: Double) {
    precondition((0...1).contains(probability), "Generator.bernoulli: \(probability) is no probability")
    withState { state in
      for index in buffer.indices {
        buffer[index] = state.twister.nextDouble() < probability ? 1 : 0
      }
    }
  }

  /// The numbers `0..<count` in random order; PyTorch: `torch.randperm(count)`, exactly, for any count below 2^32 / 20.
  public func randperm(_ count: Int) -> [Int] {
    precondition(count >= 0, "Generator.randperm: the count \(count) is negative")
    return withState { state in
      var order = Array(0..<count)
      for index in order.indices.dropLast() {
        order.swapAt(index, index + Int(state.twister.next()) % (count - index))
      }
      return order
    }
  }
}

extension Generator.State {
  /// One standard normal number in double precision, by pairs.
  fileprivate mutating func nextNormal() -> Double {
    if let cached = cachedNormal {
      cachedNormal = nil
      return cached
    }
    let angle = 2 * Double.pi * twister.nextDouble()
    let radius = sqrt(-2 * log1p(-twister.nextDouble()))
    cachedNormal = radius * sin(angle)
    return radius * cos(angle)
  }
}

extension MersenneTwister {
  /// A number from [0, 1) on the 2^-53 grid: two draws, the high word first, of which the low 53 bits count.
  fileprivate mutating func nextDouble() -> Double {
    let high = UInt64(next())
    let low = UInt64(next())
    return Double((high << 32 | low) & (1 << 53 - 1)) * 0x1p-53
  }

  fileprivate mutating func fillUniform(_ buffer: UnsafeMutableBufferPointer<Float>, from low: Float, to high: Float) {
    buffer.withMemoryRebound(to: UInt32.self) { fill($0) }
    rk_uniform_from_words(buffer.baseAddress, buffer.count, low, high - low)
  }

  /// Uniform numbers first, then Box-Muller on every run of 16; a last run that is cut short is drawn anew, backwards
  /// from the end, over what was there.
  fileprivate mutating func fillNormal(_ buffer: UnsafeMutableBufferPointer<Float>, mean: Float, std: Float) {
    fillUniform(buffer, from: 0, to: 1)
    rk_normal_from_uniform(buffer.baseAddress, buffer.count / 16, mean, std)
    if buffer.count % 16 != 0 {
      let last = UnsafeMutableBufferPointer(rebasing: buffer.suffix(16))
      fillUniform(last, from: 0, to: 1)
      rk_normal_from_uniform(last.baseAddress, 1, mean, std)
    }
  }
}
