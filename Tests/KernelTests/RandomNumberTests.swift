import CKernels
import Foundation
import Testing

extension KernelTests {
  @Suite struct RandomNumbers {
    /// Words whose low 24 bits reach both ends of their range.
    private func words(_ count: Int) -> [UInt32] {
      (0..<count).map { index in
        switch index % 5 {
        case 0: 0
        case 1: .max
        default: UInt32(truncatingIfNeeded: index &* 2_654_435_761 >> 3)
        }
      }
    }

    @Test func uniformIsTheFormulaOnEveryInstructionSet() {
      let (low, width): (Float, Float) = (-0.1, 0.4)
      for count in oddCounts {
        let words = words(count)
        let wanted = words.map { low.addingProduct(Float($0 & 0xff_ffff) * 0x1p-24, width) }
        onEveryInstructionSet { isa in
          let x = Guarded(words.map { Float(bitPattern: $0) })
          rk_uniform_from_words(x.pointer, count, low, width)
          expectSame(x.values, wanted, "\(isa) \(count)")
          #expect(x.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    @Test func normalIsBoxMullerWithTheSameBitsOnEveryInstructionSet() {
      for runs in [0, 1, 2, 33] {
        let uniform = words(16 * runs).map { Float($0 & 0xff_ffff) * 0x1p-24 }
        var first: [Float]?
        onEveryInstructionSet { isa in
          let x = Guarded(uniform)
          rk_normal_from_uniform(x.pointer, runs, 0.5, 0.25)
          expectSame(x.values, first ?? x.values, "\(isa) \(runs)")
          first = x.values
          // An angle's rounding moves a number by up to 2.4e-7 of its pair's radius, which is at most 5.8 * 0.25.
          expectClose(x.values, boxMuller(uniform), tolerance: 4e-7, floor: 1.5, "\(isa) \(runs)")
          #expect(x.bandsIntact, "\(isa) \(runs)")
        }
      }
    }

    private func boxMuller(_ uniform: [Float]) -> [Double] {
      uniform.indices.map { index in
        let partner = index ^ 8
        let (u1, u2) = index & 8 == 0 ? (uniform[index], uniform[partner]) : (uniform[partner], uniform[index])
        let radius = (-2 * log(1 - Double(u1))).squareRoot()
        let angle = 2 * Double.pi * Double(u2)
        return 0.5 + 0.25 * radius * (index & 8 == 0 ? cos(angle) : sin(angle))
      }
    }
  }
}
