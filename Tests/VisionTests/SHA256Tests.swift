import Testing

@testable import ResidualVision

@Suite("SHA-256")
struct SHA256Tests {
  private func digest(_ pieces: [UInt8]...) -> String {
    var hash = SHA256()
    for piece in pieces { hash.update(piece) }
    return hash.finish()
  }

  @Test("The examples published by NIST")
  func published() {
    #expect(digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(digest(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      digest(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8))
        == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    #expect(
      digest([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("The same bytes in any pieces", arguments: [0, 1, 55, 56, 63, 64, 65, 119, 120, 128])
  func pieces(count: Int) {
    let bytes = (0..<200).map { UInt8($0) }
    #expect(digest(Array(bytes.prefix(count)), Array(bytes.dropFirst(count))) == digest(bytes))
  }
}
