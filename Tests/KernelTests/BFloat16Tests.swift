import CKernels
import Testing

extension KernelTests {
  @Suite struct BFloat16 {
    /// The two bfloat16 neighbours of a finite number, and which of them is nearer, in double.
    private func nearest(_ x: Float) -> UInt16 {
      let below = UInt16(truncatingIfNeeded: x.bitPattern >> 16)
      let value = { (bits: UInt16) in
        // One above the largest finite number stands for 2^128 here.
        let isInfinite = bits & 0x7fff == 0x7f80
        return isInfinite ? 0x1p128 * (x < 0 ? -1 : 1) : Double(Float(bitPattern: UInt32(bits) << 16))
      }
      let toBelow = abs(Double(x) - value(below))
      let toAbove = abs(value(below + 1) - Double(x))
      if toBelow == toAbove { return below & 1 == 0 ? below : below + 1 }
      return toBelow < toAbove ? below : below + 1
    }

    @Test func roundsToNearestEven() {
      let halves = (0..<64).map { Float(bitPattern: 0x3f80_8000 + UInt32($0) << 16) }
      let special: [Float] = [
        0, -0.0, 1, -1, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, 0x1.fep127,
        0x1.ff7ffep127, 0x1.ffp127, -0x1p-140,
      ]
      for count in oddCounts {
        let x = Array((special + halves + randomFloats(count, seed: 91)).prefix(count))
        let wanted = x.map(nearest)
        onEveryInstructionSet { isa in
          let out = Guarded<UInt16>(count)
          rk_float_to_bfloat16(x, count, out.pointer)
          expectSame(out.values, wanted, "\(isa) \(count)")
          #expect(out.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    @Test func keepsNaNAndInfinity() {
      let x: [Float] = [.infinity, -.infinity, .nan, Float(bitPattern: 0x7f80_0001), Float(bitPattern: 0xffff_ffff)]
      onEveryInstructionSet { isa in
        let out = Guarded<UInt16>(x.count)
        rk_float_to_bfloat16(x, x.count, out.pointer)
        expectSame(out.values.map { Float(bitPattern: UInt32($0) << 16) }, x, "\(isa)")
      }
    }

    @Test func roundsRowsWhereTheyLie() {
      for columns in oddCounts where columns > 0 {
        let starts = [columns + 3, 0, 3 * columns + 4]
        let x = randomFloats(4 * columns + 4, seed: 93)
        var wanted = [UInt16](repeating: 0x7777, count: x.count)
        for start in starts {
          for at in start..<start + columns { wanted[at] = nearest(x[at]) }
        }
        onEveryInstructionSet { isa in
          // What lies between the rows stays as it is.
          var out = [UInt16](repeating: 0x7777, count: x.count)
          rk_float_rows_to_bfloat16(x, starts, starts.count, columns, &out)
          expectSame(out, wanted, "\(isa) \(columns)")
        }
      }
    }

    @Test func roundsPairsOfRowsInPanels() {
      for columns in oddCounts where columns > 0 {
        let (pairs, stride, panel) = (3, columns + 5, 32)
        let panelStride = pairs * panel + 7
        let x = randomFloats(2 * pairs * stride, seed: 92)
        // Two values to an element of the result; what no column belongs to stays as it is.
        var wanted = [UInt32](repeating: 0x7777_7777, count: (columns + panel - 1) / panel * panelStride)
        for (k, c) in (0..<pairs).flatMap({ k in (0..<columns).map { (k, $0) } }) {
          let (even, odd) = (nearest(x[2 * k * stride + c]), nearest(x[(2 * k + 1) * stride + c]))
          wanted[c / panel * panelStride + k * panel + c % panel] = UInt32(even) | UInt32(odd) << 16
        }
        onEveryInstructionSet { isa in
          let out = Guarded([UInt32](repeating: 0x7777_7777, count: wanted.count))
          rk_float_row_pairs_to_bfloat16(x, stride, columns, pairs, out.pointer, panelStride)
          expectSame(out.values, wanted, "\(isa) \(columns)")
          #expect(out.bandsIntact, "\(isa) \(columns)")
        }
      }
    }

    @Test func everyBFloat16SurvivesTheWayThereAndBack() {
      let all = (0...UInt16.max).map { $0 }
      let floats = all.map { Float(bitPattern: UInt32($0) << 16) }
      onEveryInstructionSet { isa in
        let back = Guarded<UInt16>(all.count)
        rk_float_to_bfloat16(floats, all.count, back.pointer)
        // A signalling NaN comes back quiet.
        expectSame(back.values, zip(all, floats).map { $1.isNaN ? $0 | 0x40 : $0 }, "\(isa)")
        #expect(back.bandsIntact, "\(isa)")
      }
    }
  }
}
