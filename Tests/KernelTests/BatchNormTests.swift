import CKernels
import Testing

extension KernelTests {
  @Suite struct BatchNorm {
    private let shapes = [(1, 1), (2, 3), (7, 16), (8, 17), (9, 64), (16, 70), (63, 33), (100, 130), (256, 64)]

    /// Mean and sum of squared deviations of each column, in double.
    private func statistics(_ x: ArraySlice<Float>, channels: Int) -> (mean: [Double], m2: [Double]) {
      let rows = x.count / channels
      let column = { (c: Int) in (0..<rows).map { Double(x[x.startIndex + $0 * channels + c]) } }
      let means = (0..<channels).map { column($0).reduce(0, +) / Double(rows) }
      return (means, (0..<channels).map { c in column(c).reduce(0) { $0 + ($1 - means[c]) * ($1 - means[c]) } })
    }

    @Test(arguments: [Float(0), 3, 1000]) func statisticsOfAChunk(mean: Float) {
      for (rows, channels) in shapes {
        let x = randomFloats(rows * channels, seed: 11, mean: mean)
        let wanted = statistics(x[...], channels: channels)
        onEveryInstructionSet { isa in
          let means = Guarded<Double>(channels)
          let m2s = Guarded<Double>(channels)
          rk_batch_norm_statistics(x, rows, channels, means.pointer, m2s.pointer)
          expectClose(means.values, wanted.mean, tolerance: 2e-7, floor: 1, "\(isa) \(rows)x\(channels)")
          // Deviations are taken from a float: with a mean of 1000 that has an ulp of 6e-5.
          expectClose(m2s.values, wanted.m2, tolerance: max(2e-6, 2e-8 * Double(mean)), "\(isa) \(rows)x\(channels)")
          #expect(means.bandsIntact && m2s.bandsIntact, "\(isa) \(rows)x\(channels)")
        }
      }
    }

    @Test func statisticsOfARowThatDiffersFromTheRest() {
      // What the first row starts must not cost the others their digits.
      let channels = 20
      let x = Array(repeating: Float(5000), count: channels) + randomFloats(200 * channels, seed: 12)
      let wanted = statistics(x[...], channels: channels)
      onEveryInstructionSet { isa in
        let means = Guarded<Double>(channels)
        let m2s = Guarded<Double>(channels)
        rk_batch_norm_statistics(x, 201, channels, means.pointer, m2s.pointer)
        // A mean is good when its error is small beside the deviation, which the one row makes 350.
        expectClose(means.values, wanted.mean, tolerance: 4e-7, floor: 350, "\(isa)")
        expectClose(m2s.values, wanted.m2, tolerance: 1e-6, "\(isa)")
      }
    }

    @Test func mergedChunksAreTheWhole() {
      for (mean, channels) in [(Float(0), 5), (300, 64), (-7, 150)] {
        let counts = [64, 1, 100, 0, 37, 8]
        let rows = counts.reduce(0, +)
        let x = randomFloats(rows * channels, seed: 13, mean: mean)
        let wanted = statistics(x[...], channels: channels)
        onEveryInstructionSet { isa in
          var means: [Double] = Array(repeating: .nan, count: counts.count * channels)
          var m2s = means
          var first = 0
          for (chunk, count) in counts.enumerated() where count > 0 {
            means.withUnsafeMutableBufferPointer { means in
              m2s.withUnsafeMutableBufferPointer { m2s in
                guard let mean = means.baseAddress, let m2 = m2s.baseAddress else { return }
                rk_batch_norm_statistics(
                  Array(x[first * channels..<(first + count) * channels]), count, channels, mean + chunk * channels,
                  m2 + chunk * channels)
              }
            }
            first += count
          }
          let merged = Guarded<Float>(channels)
          let rest = Guarded<Float>(channels)
          let variance = Guarded<Float>(channels)
          rk_batch_norm_merge(
            means, m2s, counts, counts.count, channels, merged.pointer, rest.pointer, variance.pointer)
          expectClose(merged.values, wanted.mean, tolerance: 1e-7, floor: 1, "\(isa) \(channels)")
          // Both parts together are good beside the deviation, however far the mean is from zero.
          let deviations = zip(merged.values, rest.values).map { Double($0) + Double($1) - Double(mean) }
          expectClose(
            deviations, wanted.mean.map { $0 - Double(mean) }, tolerance: 1e-7, floor: 1, "\(isa) \(channels)")
          let rounding = max(5e-7, 2e-8 * abs(Double(mean)))
          expectClose(variance.values, wanted.m2.map { $0 / Double(rows) }, tolerance: rounding, "\(isa) \(channels)")
          #expect(merged.bandsIntact && rest.bandsIntact && variance.bandsIntact, "\(isa) \(channels)")
        }
      }
    }

    @Test(arguments: [false, true]) func factors(alone: Bool) {
      for channels in [1, 7, 64, 131] {
        let variance = randomFloats(channels, seed: 33).map { $0 * $0 }
        let rest = randomFloats(channels, seed: 34, deviation: 1e-6)
        let weight = randomFloats(channels, seed: 35)
        let bias = randomFloats(channels, seed: 36)
        let inverse = variance.map { 1 / (Double($0) + 1e-5).squareRoot() }
        let scale = (0..<channels).map { (alone ? 1 : Double(weight[$0])) * inverse[$0] }
        let shift = (0..<channels).map { alone ? 0 : Double(bias[$0]) - Double(rest[$0]) * scale[$0] }
        onEveryInstructionSet { isa in
          let results = (0..<3).map { _ in Guarded<Float>(channels) }
          rk_batch_norm_factors(
            variance, alone ? nil : rest, alone ? nil : weight, alone ? nil : bias, 1e-5, channels, results[0].pointer,
            results[1].pointer, results[2].pointer)
          for (result, wanted) in zip(results, [scale, shift, inverse]) {
            expectClose(result.values, wanted, tolerance: 0x1p-24, "\(isa) \(channels)")
            #expect(result.bandsIntact, "\(isa) \(channels)")
          }
        }
      }
    }

    /// By the paper's formula, with the whole mean: grad_x = scale * (g - mean(g) - xhat * mean(g * xhat)).
    @Test(arguments: [0, 40], [false, true]) func slopes(rows: Int, hasRest: Bool) {
      for channels in [1, 7, 64, 131] {
        let scale = randomFloats(channels, seed: 37)
        let inverse = randomFloats(channels, seed: 38, mean: 2, deviation: 0.1)
        let rest = randomFloats(channels, seed: 39, deviation: 1e-2)
        let (sumG, sumGX) = (randomFloats(channels, seed: 40), randomFloats(channels, seed: 41))
        let cut = rest.map { hasRest ? Double($0) : 0 }
        let whole = (0..<channels).map { Double(sumGX[$0]) - Double(sumG[$0]) * cut[$0] * Double(inverse[$0]) }
        let share = rows > 0 ? 1 / Double(rows) : 0
        let b = (0..<channels).map { -Double(scale[$0]) * whole[$0] * share * Double(inverse[$0]) }
        let d = (0..<channels).map { -Double(scale[$0]) * Double(sumG[$0]) * share - cut[$0] * b[$0] }
        onEveryInstructionSet { isa in
          let results = [Guarded(sumGX), Guarded<Float>(channels), Guarded<Float>(channels)]
          rk_batch_norm_slopes(
            scale, inverse, hasRest ? rest : nil, rows, channels, sumG, results[0].pointer, results[1].pointer,
            results[2].pointer)
          for (result, wanted) in zip(results, [whole, b, d]) {
            expectClose(result.values, wanted, tolerance: 0x1p-23, "\(isa) \(channels)")
            #expect(result.bandsIntact, "\(isa) \(channels)")
          }
        }
      }
    }

    @Test(arguments: [false, true], [false, true]) func apply(relu: Bool, adding: Bool) {
      for (rows, channels) in shapes {
        var x = randomFloats(rows * channels, seed: 14)
        x[0] = .nan
        let mean = randomFloats(channels, seed: 19)
        let scale = randomFloats(channels, seed: 15)
        let shift = randomFloats(channels, seed: 16)
        let residual = randomFloats(rows * channels, seed: 17)
        let wanted = x.indices.map { i in
          let sum =
            (Double(x[i]) - Double(mean[i % channels])) * Double(scale[i % channels]) + Double(shift[i % channels])
            + (adding ? Double(residual[i]) : 0)
          return relu && sum < 0 ? 0 : sum
        }
        let bits = mask(of: wanted.map { !($0 <= 0) }, channels: channels)
        onEveryInstructionSet { isa in
          let y = Guarded<Float>(x.count)
          let passes = Guarded<UInt8>(bits.count)
          rk_batch_norm_apply(
            x, rows, channels, mean, scale, shift, adding ? residual : nil, y.pointer, relu ? passes.pointer : nil, nil)
          expectClose(y.values, wanted, tolerance: 4e-7, floor: 3, "\(isa) \(rows)x\(channels)")
          if relu { expectSame(passes.values, bits, "\(isa) \(rows)x\(channels)") }
          #expect(y.bandsIntact && passes.bandsIntact, "\(isa) \(rows)x\(channels)")
          let inPlace = Guarded(x)
          let copy = Guarded<UInt16>(x.count)
          let rounded = Guarded<UInt16>(x.count)
          rk_batch_norm_apply(
            inPlace.pointer, rows, channels, mean, scale, shift, adding ? residual : nil, inPlace.pointer,
            relu ? passes.pointer : nil, copy.pointer)
          rk_float_to_bfloat16(y.values, x.count, rounded.pointer)
          expectSame(inPlace.values, y.values, "\(isa) \(rows)x\(channels)")
          expectSame(copy.values, rounded.values, "\(isa) \(rows)x\(channels)")
          #expect(inPlace.bandsIntact && copy.bandsIntact, "\(isa) \(rows)x\(channels)")
        }
      }
    }

    /// A row of channels is as many bytes as they need, the first channel the lowest bit of the first byte.
    private func mask(of passes: [Bool], channels: Int) -> [UInt8] {
      stride(from: 0, to: passes.count, by: channels).flatMap { row in
        stride(from: 0, to: channels, by: 8).map { first in
          (first..<min(first + 8, channels)).reduce(UInt8(0)) { $0 | (passes[row + $1] ? 1 << UInt8($1 - first) : 0) }
        }
      }
    }

    /// grad_y behind the ReLU.
    private func passed(_ gradient: [Float], _ passes: [Bool]?) -> [Double] {
      gradient.indices.map { i in passes?[i] ?? true ? Double(gradient[i]) : 0 }
    }

    @Test(arguments: [false, true]) func backwardReduce(relu: Bool) {
      for (rows, channels) in shapes {
        let gradient = randomFloats(rows * channels, seed: 18)
        let passes = relu ? randomFloats(rows * channels, seed: 19).map { $0 > 0 } : nil
        let bits = passes.map { mask(of: $0, channels: channels) }
        let x = randomFloats(rows * channels, seed: 20, mean: 50)
        let mean = randomFloats(channels, seed: 21, mean: 50, deviation: 0.1)
        let inverse = randomFloats(channels, seed: 22, mean: 2, deviation: 0.1)
        let g = passed(gradient, passes)
        var sums = Array(repeating: 0.0, count: channels)
        var sizes = sums, products = sums, productSizes = sums
        for (i, g) in g.enumerated() {
          let product = g * (Double(x[i]) - Double(mean[i % channels])) * Double(inverse[i % channels])
          sums[i % channels] += g
          sizes[i % channels] += abs(g)
          products[i % channels] += product
          productSizes[i % channels] += abs(product)
        }
        onEveryInstructionSet { isa in
          let sumG = Guarded<Float>(channels)
          let sumGX = Guarded<Float>(channels)
          rk_batch_norm_backward_reduce(gradient, bits, x, rows, channels, mean, inverse, sumG.pointer, sumGX.pointer)
          for c in 0..<channels {
            #expect(abs(Double(sumG.values[c]) - sums[c]) <= 2e-7 * sizes[c], "\(isa) \(rows)x\(channels)")
            #expect(abs(Double(sumGX.values[c]) - products[c]) <= 5e-7 * productSizes[c], "\(isa) \(rows)x\(channels)")
          }
          #expect(sumG.bandsIntact && sumGX.bandsIntact, "\(isa) \(rows)x\(channels)")
        }
      }
    }

    @Test(arguments: [false, true], ["none", "store", "accumulate"])
    func backwardApply(relu: Bool, residual: String) {
      for (rows, channels) in shapes {
        let count = rows * channels
        let gradient = randomFloats(count, seed: 23)
        let passes = relu ? randomFloats(count, seed: 24).map { $0 > 0 } : nil
        let bits = passes.map { mask(of: $0, channels: channels) }
        let x = randomFloats(count, seed: 25, mean: 50)
        let mean = randomFloats(channels, seed: 26, mean: 50, deviation: 0.1)
        let (a, b, d) = (
          randomFloats(channels, seed: 27), randomFloats(channels, seed: 28), randomFloats(channels, seed: 29)
        )
        let start = randomFloats(count, seed: 30)
        let g = passed(gradient, passes)
        let wanted = (0..<count).map { i in
          let c = i % channels
          return g[i] * Double(a[c]) + (Double(x[i]) - Double(mean[c])) * Double(b[c]) + Double(d[c])
        }
        let wantedResidual = (0..<count).map { i in g[i] + (residual == "accumulate" ? Double(start[i]) : 0) }
        onEveryInstructionSet { isa in
          let gradX = Guarded(gradient)
          let gradResidual = Guarded(start)
          let copy = Guarded<UInt16>(count)
          let rounded = Guarded<UInt16>(count)
          rk_batch_norm_backward_apply(
            gradX.pointer, bits, x, rows, channels, mean, a, b, d, gradX.pointer, copy.pointer,
            residual == "none" ? nil : gradResidual.pointer, residual == "accumulate")
          rk_float_to_bfloat16(gradX.values, count, rounded.pointer)
          expectSame(copy.values, rounded.values, "\(isa) \(rows)x\(channels)")
          let alone = Guarded<Float>(count)
          rk_batch_norm_backward_apply(
            gradient, bits, x, rows, channels, mean, a, b, d, alone.pointer, nil, nil, false)
          expectSame(alone.values, gradX.values, "\(isa) \(rows)x\(channels)")
          expectClose(gradX.values, wanted, tolerance: 5e-7, floor: 5, "\(isa) \(rows)x\(channels)")
          if residual == "none" {
            expectSame(gradResidual.values, start, "\(isa) \(rows)x\(channels)")
          } else {
            expectClose(gradResidual.values, wantedResidual, tolerance: 0x1p-24, "\(isa) \(rows)x\(channels)")
          }
          #expect(gradX.bandsIntact && gradResidual.bandsIntact && copy.bandsIntact, "\(isa) \(rows)x\(channels)")
        }
      }
    }

    @Test func partialsAreAddedInDouble() {
      for (chunks, channels) in [(0, 3), (1, 1), (3, 17), (500, 64), (9, 131)] {
        // Float would lose the small terms beside 2^24.
        var partials = randomFloats(chunks * channels, seed: 31, deviation: 0.3)
        for c in 0..<(chunks > 0 ? channels : 0) { partials[c] = 0x1p24 }
        for c in 0..<(chunks > 1 ? channels : 0) { partials[(chunks - 1) * channels + c] = -0x1p24 }
        let start = randomFloats(channels, seed: 32)
        for accumulate in [false, true] {
          let wanted = (0..<channels).map { c in
            (0..<chunks).reduce(accumulate ? Double(start[c]) : 0) { $0 + Double(partials[$1 * channels + c]) }
          }
          onEveryInstructionSet { isa in
            let out = Guarded(start)
            rk_sum_partials(partials, chunks, channels, accumulate, out.pointer)
            expectClose(out.values, wanted, tolerance: 0x1p-23, floor: 0.1, "\(isa) \(chunks)x\(channels)")
            #expect(out.bandsIntact, "\(isa) \(chunks)x\(channels)")
          }
        }
      }
    }

    @Test func columnSum() {
      // Rows of few channels are added side by side: of a power of two, of others, with rows left over.
      let fewChannels = [(0, 5), (504, 2), (77, 3), (1, 1), (65, 1), (19, 10), (50, 16), (33, 17)]
      for (rows, channels) in shapes + fewChannels {
        let x = randomFloats(rows * channels, seed: 33)
        let wanted = (0..<channels).map { c in (0..<rows).reduce(0.0) { $0 + Double(x[$1 * channels + c]) } }
        onEveryInstructionSet { isa in
          let sum = Guarded<Float>(channels)
          rk_column_sum(x, rows, channels, sum.pointer)
          expectClose(sum.values, wanted, tolerance: 2e-6, floor: 5, "\(isa) \(rows)x\(channels)")
          #expect(sum.bandsIntact, "\(isa) \(rows)x\(channels)")
        }
      }
    }
  }
}
