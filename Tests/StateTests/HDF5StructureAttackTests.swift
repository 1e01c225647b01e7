import Foundation
import Testing

@testable import ResidualState

/// Files of ours with one number of their structure made a lie: cycles, overlaps, overflows, sizes beyond everything.
///
/// Layout: HDF5 File Format Specification, version 1 of every structure.
@Suite(.timeLimit(.minutes(5))) struct HDF5StructureAttackTests {
  struct Attack: Sendable, CustomTestStringConvertible {
    let name: String
    let strike: @Sendable (inout Structure) throws -> Void
    var testDescription: String { name }

    init(_ name: String, _ strike: @escaping @Sendable (inout Structure) throws -> Void) {
      (self.name, self.strike) = (name, strike)
    }
  }

  static let attacks: [Attack] = superblock + groups + headers + types + attributes

  private static let superblock = [
    Attack("superblock of version 9") { $0.bytes[8] = 9 },
    Attack("offsets of 2 bytes") { $0.bytes[13] = 2 },
    Attack("offsets of 255 bytes") { $0.bytes[13] = 255 },
    Attack("sizes of no bytes") { $0.bytes[14] = 0 },
    Attack("leaves of no entries") { $0.set(0 as UInt16, at: 16) },
    Attack("leaves of 65,535 entries") { $0.set(UInt16.max, at: 16) },
    Attack("inner nodes of no entries") { $0.set(0 as UInt16, at: 18) },
    Attack("a base beyond the end") { $0.set(UInt64(1) << 40, at: 24) },
    Attack("an end beyond the end") { $0.set(UInt64.max - 1, at: 40) },
    Attack("an end at the start") { $0.set(0 as UInt64, at: 40) },
    Attack("a driver's block that is none") { $0.set(96 as UInt64, at: 48) },
    Attack("the root at the superblock") { $0.set(0 as UInt64, at: 64) },
    Attack("the root at an odd place") { $0.set(97 as UInt64, at: 64) },
    Attack("the root at the end") { $0.set(UInt64($0.bytes.count), at: 64) },
    Attack("the root nowhere") { $0.set(UInt64.max, at: 64) },
  ]

  private static let groups = [
    Attack("a tree of 255 levels") { try $0.bytes[$0.place(of: "TREE") + 5] = 255 },
    Attack("a tree with a level too many") { try $0.bytes[$0.place(of: "TREE") + 5] = 1 },
    Attack("a tree of chunks") { try $0.bytes[$0.place(of: "TREE") + 4] = 1 },
    Attack("a tree that says it has 65,535 children") { try $0.set(UInt16.max, at: $0.place(of: "TREE") + 6) },
    Attack("a tree that is its own child") {
      let tree = try $0.place(of: "TREE")
      $0.bytes[tree + 5] = 1
      $0.set(UInt64(tree), at: tree + 32)
    },
    Attack("a tree that is its own sibling") {
      let tree = try $0.place(of: "TREE")
      $0.set(UInt64(tree), at: tree + 16)
    },
    Attack("a tree with a child nowhere") { try $0.set(UInt64.max, at: $0.place(of: "TREE") + 32) },
    Attack("a tree with a heap for a child") {
      try $0.set(UInt64($0.place(of: "HEAP")), at: $0.place(of: "TREE") + 32)
    },
    Attack("a heap of 32 TB") { try $0.set(UInt64(1) << 45, at: $0.place(of: "HEAP") + 8) },
    Attack("a heap of all there is") { try $0.set(UInt64.max, at: $0.place(of: "HEAP") + 8) },
    Attack("a heap of nothing") { try $0.set(0 as UInt64, at: $0.place(of: "HEAP") + 8) },
    Attack("a heap nowhere") { try $0.set(UInt64.max, at: $0.place(of: "HEAP") + 24) },
    Attack("a heap over the superblock") { try $0.set(0 as UInt64, at: $0.place(of: "HEAP") + 24) },
    Attack("free space beyond a heap") { try $0.set(UInt64(1) << 40, at: $0.place(of: "HEAP") + 16) },
    Attack("free space in circles") {
      let (heap, data) = (try $0.place(of: "HEAP"), try $0.heapData())
      $0.set(8 as UInt64, at: heap + 16)
      $0.set(8 as UInt64, at: data + 8)
    },
    Attack("a leaf that says it has 65,535 entries") { try $0.set(UInt16.max, at: $0.place(of: "SNOD") + 6) },
    Attack("a leaf with an entry too many") { try $0.bytes[$0.place(of: "SNOD") + 6] += 1 },
    Attack("a leaf with an entry too few") { try $0.bytes[$0.place(of: "SNOD") + 6] -= 1 },
    Attack("a leaf without entries") { try $0.set(0 as UInt16, at: $0.place(of: "SNOD") + 6) },
    Attack("a name beyond the heap") { try $0.set(UInt64(1) << 40, at: $0.entry(0)) },
    Attack("a name within another") { try $0.bytes[$0.entry(1)] += 2 },
    Attack("two entries of one name") { try $0.copy(8, from: $0.entry(0), to: $0.entry(1)) },
    Attack("two names of one object") { try $0.copy(8, from: $0.entry(0) + 8, to: $0.entry(1) + 8) },
    Attack("an object that is the root") { try $0.copy(8, from: 64, to: $0.entry(0) + 8) },
    Attack("an object that is a leaf") { try $0.set(UInt64($0.place(of: "SNOD")), at: $0.entry(0) + 8) },
    Attack("an object in a tensor") { try $0.set(UInt64($0.bytes.count - 200), at: $0.entry(0) + 8) },
    Attack("an object nowhere") { try $0.set(UInt64.max, at: $0.entry(0) + 8) },
    Attack("a group that is its own") {
      try $0.set(1 as UInt32, at: $0.entry(0) + 16)
      try $0.copy(16, from: 80, to: $0.entry(0) + 24)
    },
    Attack("a soft link out of the heap") {
      try $0.set(2 as UInt32, at: $0.entry(0) + 16)
      try $0.set(UInt32.max, at: $0.entry(0) + 24)
    },
  ]

  private static let headers = [
    Attack("a header of 4 GB") { try $0.set(UInt32.max, at: $0.header(1) + 8) },
    Attack("a header of 8 bytes") { try $0.set(8 as UInt32, at: $0.header(1) + 8) },
    Attack("a header of no bytes") { try $0.set(0 as UInt32, at: $0.header(1) + 8) },
    Attack("a header of 65,535 messages") { try $0.set(UInt16.max, at: $0.header(1) + 2) },
    Attack("a header of version 7") { try $0.bytes[$0.header(1)] = 7 },
    Attack("a message of 65,535 bytes") { try $0.set(UInt16.max, at: $0.message(3) - 6) },
    Attack("a message of no bytes") { try $0.set(0 as UInt16, at: $0.message(3) - 6) },
    Attack("a shared type") { try $0.bytes[$0.message(3) - 4] |= 2 },
    Attack("a table of shared messages") { try $0.set(0x0F as UInt16, at: $0.message(5) - 8) },
    Attack("a header that goes on in itself") {
      let (place, header) = (try $0.message(8), try $0.header(1))
      $0.announce(header, at: place)
    },
    Attack("a header that goes on in the root's") {
      let place = try $0.message(8)
      $0.announce(96, at: place)
    },
    Attack("a header that goes on in a tensor") {
      let place = try $0.message(8)
      $0.announce($0.bytes.count - 256, at: place)
    },
    Attack("a header that goes on beyond the end") {
      let place = try $0.message(8)
      $0.announce($0.bytes.count, at: place)
    },
    Attack("a layout of version 200") { try $0.bytes[$0.message(8)] = 200 },
    Attack("a virtual layout") { try $0.bytes[$0.message(8) + 1] = 3 },
    Attack("a chunked layout that is none") { try $0.bytes[$0.message(8) + 1] = 2 },
    Attack("a compact layout that is none") { try $0.bytes[$0.message(8) + 1] = 0 },
    Attack("bytes nowhere") { try $0.set(UInt64.max, at: $0.message(8) + 2) },
    Attack("bytes in the superblock") { try $0.set(0 as UInt64, at: $0.message(8) + 2) },
    Attack("bytes beyond the end") { try $0.set(UInt64($0.bytes.count - 4), at: $0.message(8) + 2) },
    Attack("more bytes than there are") { try $0.set(UInt64(1) << 62, at: $0.message(8) + 10) },
    Attack("an empty tensor at 2^63") {
      let (space, layout) = (try $0.message(1), try $0.message(8))
      $0.set(0 as UInt64, at: space + 8)
      $0.set(UInt64(1) << 63, at: layout + 2)
      $0.set(0 as UInt64, at: layout + 10)
    },
    Attack("fewer bytes than the shape") { try $0.set(4 as UInt64, at: $0.message(8) + 10) },
    Attack("a dataspace of version 9") { try $0.bytes[$0.message(1)] = 9 },
    Attack("33 axes") { try $0.bytes[$0.message(1) + 1] = 33 },
    Attack("255 axes") { try $0.bytes[$0.message(1) + 1] = 255 },
    Attack("a shape with every flag") { try $0.bytes[$0.message(1) + 2] = 255 },
    Attack("an axis of 2^63") { try $0.set(UInt64(1) << 63, at: $0.message(1) + 8) },
    Attack("an axis of 2^62") { try $0.set(UInt64(1) << 62, at: $0.message(1) + 8) },
    Attack("an axis without end") { try $0.set(UInt64.max, at: $0.message(1) + 8) },
    Attack("a fill value of 4 GB") { try $0.fill([1, 2, 0, 1, 255, 255, 255, 255], at: $0.message(5)) },
  ]

  private static let types =
    (11...15).map { kind in Attack("a type of class \(kind)") { try $0.bytes[$0.message(3)] = UInt8(16 + kind) } } + [
      Attack("a time") { try $0.bytes[$0.message(3)] = 0x12 },
      Attack("an opaque type with a tag of 255 bytes") { try $0.fill([0x15, 255, 0, 0], at: $0.message(3)) },
      Attack("an enumeration without a base") { try $0.fill([0x18, 2, 0, 0, 4, 0, 0, 0], at: $0.message(3)) },
      Attack("an enumeration of 65,535 names") { try $0.fill([0x38, 255, 255, 0, 4, 0, 0, 0], at: $0.message(3)) },
      Attack("an enumeration of another size than its integers") {
        // Base: one byte, little-endian, signed; then the only name, "A", and its value.
        try $0.fill([0x38, 1, 0, 0, 200, 0, 0, 0, 0x10, 8, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 65, 0, 7], at: $0.message(3))
      },
      Attack("an enumeration of a name without an end") {
        let place = try $0.message(3)
        $0.fill([0x38, 1, 0, 0, 1, 0, 0, 0, 0x10, 8, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 65, 65, 65, 65], at: place)
      },
      Attack("a compound of 65,535 members") { try $0.fill([0x36, 255, 255, 0], at: $0.message(3)) },
      Attack("a compound of nothing") { try $0.fill([0x36, 0, 0, 0], at: $0.message(3)) },
      Attack("an array of 255 axes") { try $0.fill([0x3A, 0, 0, 0, 4, 0, 0, 0, 255], at: $0.message(3)) },
      Attack("an array of 2^32 elements") {
        try $0.fill([0x3A, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 1, 0], at: $0.message(3))
      },
      Attack("variable lengths within variable lengths") {
        let place = try $0.message(3)
        $0.fill([UInt8]([[UInt8]](repeating: [0x19, 0, 0, 0, 16, 0, 0, 0], count: 30).joined()), at: place)
      },
      Attack("a type of no bytes") { try $0.set(0 as UInt32, at: $0.message(3) + 4) },
      Attack("a type of 4 GB") { try $0.set(UInt32.max, at: $0.message(3) + 4) },
      Attack("a number of 65,535 bits") { try $0.set(UInt16.max, at: $0.message(3) + 10) },
      Attack("a number that begins at bit 65,535") { try $0.set(UInt16.max, at: $0.message(3) + 8) },
      Attack("a type of version 0") { try $0.bytes[$0.message(3)] &= 15 },
      Attack("a type of version 15") { try $0.bytes[$0.message(3)] |= 0xF0 },
    ]

  private static let attributes = [
    Attack("an attribute of version 9") { try $0.bytes[$0.message(12)] = 9 },
    Attack("a name of 65,535 bytes") { try $0.set(UInt16.max, at: $0.message(12) + 2) },
    Attack("a name of no bytes") { try $0.set(0 as UInt16, at: $0.message(12) + 2) },
    Attack("a name without an end") { try $0.set(24 as UInt16, at: $0.message(12) + 2) },
    Attack("an attribute's type of 65,535 bytes") { try $0.set(UInt16.max, at: $0.message(12) + 4) },
    Attack("an attribute's type of no bytes") { try $0.set(0 as UInt16, at: $0.message(12) + 4) },
    Attack("an attribute's shape of 65,535 bytes") { try $0.set(UInt16.max, at: $0.message(12) + 6) },
    Attack("an attribute of an enumeration of 65,535 names") {
      try $0.fill([0x38, 255, 255, 0], at: $0.message(12) + 8 + 32)
    },
    Attack("an attribute of 2^62 elements") { try $0.set(UInt64(1) << 62, at: $0.message(12) + 8 + 32 + 16 + 8) },
    Attack("attributes in a heap") {
      let place = try $0.message(5)
      $0.set(0x15 as UInt16, at: place - 8)
      $0.fill([0, 0, 96, 0, 0, 0, 0, 0], at: place)
    },
  ]

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: attacks) func isAnErrorOrHarmless(_ attack: Attack) throws {
    try smallStateDict.write(to: folder.file("a.h5"))
    var structure = Structure(bytes: try folder.bytes(of: "a.h5"))
    let whole = structure.bytes
    try attack.strike(&structure)
    #expect(structure.bytes != whole)
    let path = try folder.write(structure.bytes, to: "struck.h5")
    do {
      let found = try StateDict(contentsOf: path)
      #expect(found.count == smallStateDict.count)
      for (key, tensor) in found { #expect(tensor == smallStateDict[key], "\(key)") }
    } catch {
      #expect(error.path == path, "\(error)")
    }
  }

  /// The bytes of a file and where its structures are.
  struct Structure {
    var bytes: [UInt8]

    func number(at place: Int) -> Int {
      Int(truncatingIfNeeded: bytes[place..<place + 8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
    }

    /// The first place of a signature.
    func place(of signature: String) throws -> Int {
      try #require(bytes.indices.dropLast(8).first { bytes[$0..<$0 + 4].elementsEqual(signature.utf8) })
    }

    /// The bytes of the heap of names.
    func heapData() throws -> Int { try number(at: place(of: "HEAP") + 24) }

    /// The entry of an object in the root's leaf: the offset of its name, the address of its header, a cache.
    func entry(_ index: Int) throws -> Int { try place(of: "SNOD") + 8 + 40 * index }

    /// The header of an object.
    func header(_ index: Int) throws -> Int { try number(at: entry(index) + 8) }

    /// The body of a message of the second object, a vector; its type lies 8 bytes before, its size 6, its flags 4.
    func message(_ type: UInt16) throws -> Int {
      var place = try header(1) + 16
      while place + 8 < bytes.count {
        let (found, size) = (UInt16(number(at: place) & 0xFFFF), number(at: place) >> 16 & 0xFFFF)
        if found == type { return place + 8 }
        place += 8 + size
      }
      throw StateError(.notFound, "no message of type \(type)")
    }

    mutating func set<I: FixedWidthInteger>(_ value: I, at place: Int) { fill(littleEndian(value), at: place) }

    mutating func fill(_ new: [UInt8], at place: Int) { bytes.replaceSubrange(place..<place + new.count, with: new) }

    mutating func copy(_ count: Int, from: Int, to place: Int) { fill(Array(bytes[from..<from + count]), at: place) }

    /// Makes a message of 24 bytes one that says where the header goes on.
    mutating func announce(_ address: Int, at place: Int) {
      set(0x10 as UInt16, at: place - 8)
      set(UInt64(address), at: place)
      set(256 as UInt64, at: place + 8)
    }
  }
}
