import CKernels
import Testing

/// The parent of every kernel suite: they switch the instruction set of the whole process, so they run one by one.
@Suite(.serialized)
enum KernelTests {}

/// Runs `body` on every instruction set this processor has, the portable one first, and puts the old one back.
func onEveryInstructionSet(_ body: (String) throws -> Void) rethrows {
  let before = rk_isa_current()
  defer { _ = rk_isa_select(before) }
  for isa in [RK_ISA_PORTABLE, RK_ISA_AVX2, RK_ISA_AVX512, RK_ISA_AMX, RK_ISA_NEON] where rk_isa_select(isa) {
    try body(String(cString: rk_isa_name(isa)))
  }
}

/// Memory for a kernel's output between two bands that it must not touch, at an address that no vector is aligned to.
final class Guarded<Element: GuardedElement> {
  private static var band: Int { 37 }
  private let start: UnsafeMutablePointer<Element>
  private let count: Int

  init(_ count: Int) {
    self.count = count
    start = .allocate(capacity: count + 2 * Self.band)
    start.initialize(repeating: .sentinel, count: count + 2 * Self.band)
  }

  convenience init(_ values: [Element]) {
    self.init(values.count)
    for (i, value) in values.enumerated() { self.pointer[i] = value }
  }

  deinit { start.deallocate() }

  /// Valid as long as the object is used later on.
  var pointer: UnsafeMutablePointer<Element> { start + Self.band }
  var values: [Element] { withExtendedLifetime(self) { Array(UnsafeBufferPointer(start: pointer, count: count)) } }
  var bandsIntact: Bool {
    withExtendedLifetime(self) {
      (0..<Self.band).allSatisfy { start[$0].isSentinel && pointer[count + $0].isSentinel }
    }
  }
}

/// An element with a value that no kernel writes by chance.
protocol GuardedElement: Equatable {
  static var sentinel: Self { get }
  var isSentinel: Bool { get }
}

extension Float: GuardedElement {
  static var sentinel: Float { Float(bitPattern: 0x7fc0_dead) }
  var isSentinel: Bool { bitPattern == 0x7fc0_dead }
}

extension Double: GuardedElement {
  static var sentinel: Double { Double(bitPattern: 0x7ff8_0000_0000_dead) }
  var isSentinel: Bool { bitPattern == 0x7ff8_0000_0000_dead }
}

extension UInt8: GuardedElement {
  static var sentinel: UInt8 { 0xa7 }
  var isSentinel: Bool { self == 0xa7 }
}

extension UInt16: GuardedElement {
  static var sentinel: UInt16 { 0xdead }
  var isSentinel: Bool { self == 0xdead }
}

extension UInt32: GuardedElement {
  static var sentinel: UInt32 { 0xdead_beef }
  var isSentinel: Bool { self == 0xdead_beef }
}

/// `count` floats that look normally distributed (sums of four uniforms), the same for the same seed.
func randomFloats(_ count: Int, seed: UInt64, mean: Float = 0, deviation: Float = 1) -> [Float] {
  var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
  func uniform() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) * 0x1p-24
  }
  return (0..<count).map { _ in
    mean + deviation * 1.732_050_8 * (uniform() + uniform() + uniform() + uniform() - 2)
  }
}

/// Expects every element to be `expected` to within `tolerance` times the larger of its size and `floor`; NaN is NaN.
func expectClose<Element: BinaryFloatingPoint>(
  _ actual: [Element], _ expected: [Double], tolerance: Double, floor: Double = 0, _ label: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let wrong = zip(actual, expected).enumerated().first { _, pair in
    let (a, e) = pair
    if e.isNaN || e.isInfinite { return !(Double(a) == e || (a.isNaN && e.isNaN)) }
    return !(abs(Double(a) - e) <= tolerance * max(abs(e), floor))
  }
  let count = actual.count
  #expect(count == expected.count, "\(label)", sourceLocation: sourceLocation)
  if let wrong {
    Issue.record(
      "\(label): element \(wrong.offset) is \(wrong.element.0), not \(wrong.element.1)", sourceLocation: sourceLocation)
  }
}

/// Expects the same values, NaN for NaN.
func expectSame<Element: GuardedElement>(
  _ actual: [Element], _ expected: [Element], _ label: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  let wrong = zip(actual, expected).enumerated().first { $1.0 != $1.1 && !($1.0 != $1.0 && $1.1 != $1.1) }
  let count = actual.count
  #expect(count == expected.count, "\(label)", sourceLocation: sourceLocation)
  if let wrong {
    Issue.record(
      "\(label): element \(wrong.offset) is \(wrong.element.0), not \(wrong.element.1)", sourceLocation: sourceLocation)
  }
}

/// Counts around every vector width and its tails.
let oddCounts = [0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 257, 1000]
