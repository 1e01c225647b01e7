import CKernels
import Testing

extension KernelTests {
  @Suite struct Layout {
    @Test func transpose() {
      let sizes = [
        (1, 1), (1, 9), (9, 1), (3, 5), (16, 16), (17, 33), (64, 49), (8, 100), (130, 70), (50, 2), (33, 3), (21, 4),
        (2, 41), (3, 50), (4, 23), (3, 3), (4, 2),
      ]
      for (a, b) in sizes {
        let x = (0..<a * b).map { Float($0) }
        let wanted = (0..<a * b).map { Float($0 % a * b + $0 / a) }
        onEveryInstructionSet { isa in
          let out = Guarded<Float>(a * b)
          rk_transpose(x, a, b, 0, b / 3, out.pointer)
          rk_transpose(x, a, b, b / 3, b, out.pointer)
          expectSame(out.values, wanted, "\(isa) \(a)x\(b)")
          let whole = Guarded<Float>(a * b)
          rk_transpose(x, a, b, 0, b, whole.pointer)
          expectSame(whole.values, wanted, "\(isa) \(a)x\(b), in one piece")
          #expect(out.bandsIntact && whole.bandsIntact, "\(isa) \(a)x\(b)")
        }
      }
    }
  }
}
