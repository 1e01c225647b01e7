import CKernels
import Foundation
import Testing

extension KernelTests {
  @Suite struct Elementwise {
    /// Checks `kernel(a, b, count, out)` against `expected`, out of place and with the output over `a`.
    private func check(
      _ name: String, tolerance: Double, special: [Float] = [], expected: (Double, Double) -> Double,
      kernel: (UnsafePointer<Float>?, UnsafePointer<Float>?, Int, UnsafeMutablePointer<Float>?) -> Void
    ) {
      for count in oddCounts {
        let a = (special + randomFloats(count, seed: 1)).prefix(count).map { $0 }
        let b = randomFloats(count, seed: 2)
        let wanted = zip(a, b).map { expected(Double($0), Double($1)) }
        onEveryInstructionSet { isa in
          let out = Guarded<Float>(count)
          let first = Guarded(a)
          let second = Guarded(b)
          kernel(first.pointer, second.pointer, count, out.pointer)
          expectClose(out.values, wanted, tolerance: tolerance, floor: 1e-30, "\(name) \(isa) \(count)")
          expectSame(first.values, a, "\(name) \(isa) \(count): input changed")
          kernel(first.pointer, second.pointer, count, first.pointer)
          expectSame(second.values, b, "\(name) \(isa) \(count): input changed")
          expectSame(first.values, out.values, "\(name) \(isa) \(count): in place")
          #expect(out.bandsIntact && first.bandsIntact, "\(name) \(isa) \(count)")
        }
      }
    }

    private let special: [Float] = [.nan, .infinity, -.infinity, -0.0, 0, 0x1p-140, -0x1p-140, 3e38, -3e38]

    @Test func arithmetic() {
      check("add", tolerance: 0x1p-24, special: special, expected: +, kernel: rk_add)
      check("subtract", tolerance: 0x1p-24, special: special, expected: -, kernel: rk_subtract)
      check("multiply", tolerance: 0x1p-24, expected: *, kernel: rk_multiply)
      check("scale", tolerance: 0x1p-24, expected: { a, _ in a * 1.5 }, kernel: { rk_scale($0, 1.5, $2, $3) })
    }

    @Test func addScaledAccumulates() {
      for count in oddCounts {
        let x = randomFloats(count, seed: 3)
        let start = randomFloats(count, seed: 4)
        onEveryInstructionSet { isa in
          let out = Guarded(start)
          rk_add_scaled(x, -0.25, count, out.pointer)
          let wanted = zip(start, x).map { Double($0) - 0.25 * Double($1) }
          expectClose(out.values, wanted, tolerance: 0x1p-23, "\(isa) \(count)")
          #expect(out.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    @Test func fill() {
      for count in oddCounts {
        onEveryInstructionSet { isa in
          let out = Guarded<Float>(count)
          rk_fill(out.pointer, count, 2.5)
          expectSame(out.values, Array(repeating: 2.5, count: count), "\(isa) \(count)")
          #expect(out.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    @Test func reluKeepsNaN() {
      check(
        "relu", tolerance: 0, special: special, expected: { x, _ in x.isNaN ? x : max(0, x) },
        kernel: { rk_relu($0, $2, $3) })
    }

    @Test func reluBackwardIsZeroWhereTheOutputIsNotPositive() {
      let outputs: [Float] = [0, -0.0, 1, .nan, .infinity, -1]
      for count in oddCounts {
        let y = (outputs + randomFloats(count, seed: 5)).prefix(count).map { $0 }
        let gradient = randomFloats(count, seed: 6)
        let wanted = zip(gradient, y).map { $1 <= 0 ? 0 : Double($0) }
        onEveryInstructionSet { isa in
          let out = Guarded(gradient)
          rk_relu_backward(out.pointer, y, count, out.pointer)
          expectClose(out.values, wanted, tolerance: 0, "\(isa) \(count)")
          #expect(out.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    @Test func exponentialIsWithinAnUlpThroughTheSigmoid() {
      let special: [Float] = [.nan, .infinity, -.infinity, -0.0, 0, 100, -86, 88.7, 1e-30]
      check(
        "sigmoid", tolerance: 3 * 0x1p-24, special: special, expected: { x, _ in 1 / (1 + exp(-x)) },
        kernel: { rk_sigmoid($0, $2, $3) })
      let x = (0..<100_001).map { -87 + Float($0) * (174.0 / 100_000) }
      let wanted = x.map { 1 / (1 + exp(-Double($0))) }
      onEveryInstructionSet { isa in
        let y = Guarded<Float>(x.count)
        rk_sigmoid(x, x.count, y.pointer)
        expectClose(y.values, wanted, tolerance: 4 * 0x1p-24, "\(isa)")
      }
    }

    @Test func sigmoidBackward() {
      check(
        "sigmoid backward", tolerance: 4 * 0x1p-24, expected: { $0 * $1 * (1 - $1) }, kernel: rk_sigmoid_backward)
    }

    @Test func sumsAreInDouble() {
      for count in oddCounts {
        let x = randomFloats(count, seed: 7, mean: 1e6)
        let sum = x.reduce(0.0) { $0 + Double($1) }
        let squares = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        onEveryInstructionSet { isa in
          #expect(abs(rk_sum(x, count) - sum) <= 1e-14 * sum, "\(isa) \(count)")
          #expect(abs(rk_sum_of_squares(x, count) - squares) <= 1e-14 * squares, "\(isa) \(count)")
        }
      }
      onEveryInstructionSet { isa in
        #expect(rk_sum([1, .nan], 2).isNaN, "\(isa)")
      }
    }
  }
}
