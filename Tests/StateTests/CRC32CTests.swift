import Testing

@testable import ResidualState

@Suite struct CRC32CTests {
  /// The examples of RFC 3720, appendix B.4, and the customary check of "123456789".
  @Test func publishedExamples() {
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum(0..<32 as Range<UInt8>) == 0x46DD_794E)
    #expect(CRC32C.checksum((0..<32 as Range<UInt8>).reversed()) == 0x113F_DB5C)
    #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
    #expect(CRC32C.checksum([]) == 0)
  }

  /// The long way, bit by bit from the polynomial, beside lengths that use every branch of the short one.
  @Test(arguments: [1, 7, 8, 9, 100, 6143, 6144, 6145, 20_000])
  func anyLengthAndAnySplit(count: Int) {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 ^ $0 >> 5) }
    var expected = UInt32.max
    for byte in bytes {
      expected ^= UInt32(byte)
      for _ in 0..<8 { expected = expected & 1 == 1 ? expected >> 1 ^ 0x82F6_3B78 : expected >> 1 }
    }
    expected = ~expected
    #expect(CRC32C.checksum(bytes) == expected)
    #expect(CRC32C.checksum(bytes[(count / 3)...], after: CRC32C.checksum(bytes[..<(count / 3)])) == expected)
  }
}
