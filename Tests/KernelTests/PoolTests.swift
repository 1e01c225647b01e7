import CKernels
import Testing

extension KernelTests {
  @Suite struct Pool {
    static let shapes = [
      pool(block: 1, height: 1, width: 1, kernel: 1, stride: 1, padding: 0),
      pool(block: 5, height: 7, width: 6, kernel: 3, stride: 2, padding: 1),
      pool(block: 64, height: 8, width: 8, kernel: 2, stride: 2, padding: 0),
      pool(block: 300, height: 5, width: 9, kernel: 3, stride: 1, padding: 1),
      pool(block: 17, height: 9, width: 4, kernel: 4, stride: 3, padding: 2),
    ]

    private static func pool(block: Int, height: Int, width: Int, kernel: Int, stride: Int, padding: Int) -> rk_pool2d {
      rk_pool2d(
        block: block, height: height, width: width, out_height: (height + 2 * padding - kernel) / stride + 1,
        out_width: (width + 2 * padding - kernel) / stride + 1, kernel_height: kernel, kernel_width: kernel,
        stride_height: stride, stride_width: stride, padding_height: padding, padding_width: padding)
    }

    /// The definition: for every output the winning input (nil: padding alone) and its window index.
    private func winners(_ s: rk_pool2d, _ x: [Float]) -> [(input: Int, tap: Int)] {
      var result: [(Int, Int)] = []
      for oh in 0..<s.out_height {
        for ow in 0..<s.out_width {
          for i in 0..<s.block {
            var best: (input: Int, tap: Int)?
            for kh in 0..<s.kernel_height {
              for kw in 0..<s.kernel_width {
                let h = oh * s.stride_height + kh - s.padding_height
                let w = ow * s.stride_width + kw - s.padding_width
                guard (0..<s.height).contains(h), (0..<s.width).contains(w) else { continue }
                let input = (h * s.width + w) * s.block + i
                if let best, !(x[input] > x[best.input] || x[input].isNaN) { continue }
                best = (input, kh * s.kernel_width + kw)
              }
            }
            result.append(best ?? (-1, 0))
          }
        }
      }
      return result
    }

    @Test(arguments: shapes) func maximum(shape: rk_pool2d) {
      // Rounded values bring ties; the lowest value and NaN are inside too.
      var x = randomFloats(shape.height * shape.width * shape.block, seed: 71).map { ($0 * 2).rounded() }
      if x.count > 50 {
        for i in stride(from: 3, to: x.count, by: 29) { x[i] = -.infinity }
        for i in stride(from: 5, to: x.count, by: 53) { x[i] = .nan }
      }
      for i in 0..<x.count where i % shape.block == 0 { x[i] = -.infinity }
      let wanted = winners(shape, x)
      let gradient = randomFloats(wanted.count, seed: 72)
      var wantedGradient = Array(repeating: 0.0, count: x.count)
      for (winner, g) in zip(wanted, gradient) { wantedGradient[winner.input] += Double(g) }

      onEveryInstructionSet { isa in
        var shape = shape
        let y = Guarded<Float>(wanted.count)
        let taps = Guarded<UInt8>(wanted.count)
        let withoutTaps = Guarded<Float>(wanted.count)
        let gradX = Guarded<Float>(x.count)
        // In two ranges, as two threads would.
        for range in [(0, shape.out_height / 2), (shape.out_height / 2, shape.out_height)] {
          rk_max_pool2d(&shape, x, range.0, range.1, y.pointer, taps.pointer)
          rk_max_pool2d(&shape, x, range.0, range.1, withoutTaps.pointer, nil)
        }
        for range in [(0, shape.height / 2), (shape.height / 2, shape.height)] {
          rk_max_pool2d_backward(&shape, gradient, taps.pointer, range.0, range.1, gradX.pointer)
        }
        expectSame(y.values, wanted.map { x[$0.input] }, "\(isa)")
        expectSame(withoutTaps.values, y.values, "\(isa)")
        expectSame(taps.values, wanted.map { UInt8($0.tap) }, "\(isa)")
        expectClose(gradX.values, wantedGradient, tolerance: 1e-6, floor: 1, "\(isa)")
        #expect(y.bandsIntact && taps.bandsIntact && withoutTaps.bandsIntact && gradX.bandsIntact, "\(isa)")
      }
    }

    @Test func globalAverage() {
      for (positions, block) in [(1, 1), (4, 7), (49, 64), (49, 300), (6, 1000)] {
        let x = randomFloats(positions * block, seed: 73, mean: 1)
        let wanted = (0..<block).map { i in
          (0..<positions).reduce(0.0) { $0 + Double(x[$1 * block + i]) } / Double(positions)
        }
        onEveryInstructionSet { isa in
          let y = Guarded<Float>(block)
          rk_global_average(x, positions, block, 0, block / 3, y.pointer)
          rk_global_average(x, positions, block, block / 3, block, y.pointer)
          expectClose(y.values, wanted, tolerance: 1e-6, floor: 1, "\(isa) \(positions)x\(block)")
          #expect(y.bandsIntact, "\(isa) \(positions)x\(block)")
        }
      }
    }
  }
}
