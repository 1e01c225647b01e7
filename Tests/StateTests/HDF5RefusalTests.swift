import Testing

@testable import ResidualState

/// Files that are refused before anything is read; see tools/reference/make_state_fixtures.py.
@Suite struct HDF5RefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let code: StateError.Code
    let words: String
    var testDescription: String { name }

    init(_ name: String, _ code: StateError.Code, _ words: String) {
      self.name = name
      self.code = code
      self.words = words
    }
  }

  static let cases = [
    Case("gzip", .refused, "\"weight\" is chunked or compressed: read it with allowingFilters: true"),
    Case("chunked", .refused, "\"weight\" is chunked or compressed"),
    Case("bomb", .refused, "\"weight\" is chunked or compressed"),
    Case("lzf", .refused, "\"weight\" has a filter that is not read"),
    Case("scale-offset", .refused, "\"weight\" has a filter that is not read"),
    Case("soft-link", .refused, "\"bias\" is a soft link"),
    Case("external-link", .refused, "\"weight\" is a link into another file"),
    Case("external-storage", .refused, "\"weight\" keeps its bytes in another file"),
    Case("virtual", .refused, "\"weight\" is a virtual dataset"),
    Case("cycle", .refused, "\"a.b.again\" is a second name of an object in the file, or leads back"),
    Case("cycle-root", .refused, "leads back to its own group"),
    Case("second-name", .refused, "is a second name of an object in the file"),
    Case("deep", .refused, "more than 32 deep"),
    Case("twice", .corrupt, "\"a.b\" is in the file twice"),
    Case("null", .refused, "\"weight\" has a null dataspace"),
    Case("unwritten", .corrupt, "\"weight\" claims 4398046511104 bytes"),
    Case("committed", .refused, "\"weight\" borrows its type from another object"),
    Case("committed-type-only", .refused, "\"weight\" is neither a tensor nor a group"),
    Case("keras", .wrongFormat, "this is a Keras file"),
    Case("string", .unsupported, "a type that no tensor has: string"),
    Case("variable-length", .unsupported, "a type that no tensor has: string"),
    Case("compound", .unsupported, "a type that no tensor has: compound"),
    Case("complex", .unsupported, "a type that no tensor has"),
    Case("opaque", .unsupported, "a type that no tensor has: opaque"),
    Case("reference", .unsupported, "a type that no tensor has: reference"),
    Case("enumeration", .unsupported, "a type that no tensor has: enumeration"),
    Case("shape-lie", .corrupt, "\"weight\" claims 4398046511104 bytes, of which the file of"),
    Case("shape-overflow", .corrupt, "\"weight\" has an impossible shape, [4611686018427387905]"),
    Case("shape-smaller", .corrupt, "\"weight\" claims 4000 bytes"),
    Case("overlap", .refused, "share bytes of the file"),
    Case("overlap-partly", .refused, "share bytes of the file"),
    Case("beyond-end", .corrupt, "\"bias\" claims 4124 bytes"),
  ]

  @Test(arguments: cases)
  func isRefusedInWords(_ refused: Case) {
    let path = fixture("refused-" + refused.name)
    let error = stateError { _ = try StateDict(contentsOf: path) }
    #expect(error?.code == refused.code)
    #expect(error?.message.contains(refused.words) == true, "\(String(describing: error))")
    #expect(error?.path == path)
  }
}
