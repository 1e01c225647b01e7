import CKernels
import Testing

extension KernelTests {
  @Suite struct Layout {
    @Test func transpose() {
      for (a, b) in [(1, 1), (1, 9), (9, 1), (3, 5), (16, 16), (17, 33), (64, 49), (8, 100), (130, 70)] {
        let x = (0..<a * b).map { Float($0) }
        let wanted = (0..<a * b).map { Float($0 % a * b + $0 / a) }
        onEveryInstructionSet { isa in
          let out = Guarded<Float>(a * b)
          rk_transpose(x, a, b, 0, b / 3, out.pointer)
          rk_transpose(x, a, b, b / 3, b, out.pointer)
          expectSame(out.values, wanted, "\(isa) \(a)x\(b)")
          #expect(out.bandsIntact, "\(isa) \(a)x\(b)")
        }
      }
    }

    @Test func weightOrders() {
      let (outputs, inputs, spatial) = (5, 7, 9)
      let oihw = (0..<outputs * inputs * spatial).map { Float($0) }
      let ohwi = oihw.indices.map { index in
        let (o, s, i) = (index / (spatial * inputs), index / inputs % spatial, index % inputs)
        return oihw[(o * inputs + i) * spatial + s]
      }
      onEveryInstructionSet { isa in
        let there = Guarded<Float>(oihw.count)
        let back = Guarded<Float>(oihw.count)
        for range in [(0, 2), (2, outputs)] {
          rk_oihw_to_ohwi(oihw, inputs, spatial, range.0, range.1, there.pointer)
          rk_ohwi_to_oihw(ohwi, inputs, spatial, range.0, range.1, back.pointer)
        }
        expectSame(there.values, ohwi, "\(isa)")
        #expect(there.bandsIntact, "\(isa)")
        expectSame(back.values, oihw, "\(isa)")
        #expect(back.bandsIntact, "\(isa)")
      }
    }
  }
}
