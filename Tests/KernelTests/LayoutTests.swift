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
          let byColumns = Guarded<Float>(a * b)
          rk_transpose(x, b, a, b / 3, byColumns.pointer, a)
          rk_transpose(Array(x[(b / 3)...]), b, a, b - b / 3, byColumns.pointer + b / 3 * a, a)
          expectSame(byColumns.values, wanted, "\(isa) \(a)x\(b), some columns after others")
          let byRows = Guarded<Float>(a * b)
          rk_transpose(x, b, a / 3, b, byRows.pointer, a)
          rk_transpose(Array(x[(a / 3 * b)...]), b, a - a / 3, b, byRows.pointer + a / 3, a)
          expectSame(byRows.values, wanted, "\(isa) \(a)x\(b), some rows after others")
          let whole = Guarded<Float>(a * b)
          rk_transpose(x, b, a, b, whole.pointer, a)
          expectSame(whole.values, wanted, "\(isa) \(a)x\(b), in one piece")
          #expect(byColumns.bandsIntact && byRows.bandsIntact && whole.bandsIntact, "\(isa) \(a)x\(b)")
        }
      }
    }
  }
}
