/// The formats of files that hold state dicts.
public enum FileFormat: String, Sendable, CaseIterable {
  /// HDF5, as h5py writes it.
  case hdf5
  /// Hugging Face's safetensors.
  case safetensors
  /// What `torch.save` writes: a zip file, or before PyTorch 1.6 a row of pickles.
  case pytorch
  /// A zip file of NumPy arrays.
  case npz

  /// Tells the format from a file's content, whatever its name ends with.
  ///
  /// Throws a ``StateError``: there is no such file, it cannot be read, or it holds something else, which is named.
  public static func detect(_ path: String) throws(StateError) -> FileFormat {
    try detect(InputFile(path))
  }

  /// The format usually written to files of that name's ending, nil for an ending no format has.
  public init?(endingOf path: String) {
    switch path.split(separator: "/").last?.split(separator: ".").last?.lowercased() {
    case "h5", "hdf5": self = .hdf5
    case "safetensors": self = .safetensors
    case "pt", "pth", "th", "bin": self = .pytorch
    case "npz": self = .npz
    default: return nil
    }
  }

  static func detect(_ file: InputFile) throws(StateError) -> FileFormat {
    let head = try file.bytes(in: 0..<64)
    if try HDF5Superblock.find(in: file) != nil { return .hdf5 }
    if head.starts(with: zipEntry) {
      let nameLength = head.count >= 30 ? Int(head[26]) | Int(head[27]) << 8 : 0
      return try file.bytes(in: 30..<30 + nameLength).reversed().starts(with: ".npy".utf8.reversed()) ? .npz : .pytorch
    }
    if head.starts(with: legacyPyTorch) { return .pytorch }
    if head.count > 8, head[8] == UInt8(ascii: "{") {
      let length = head[..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
      if length <= UInt64(file.size - 8) { return .safetensors }
    }
    throw StateError(.wrongFormat, describeStranger(head), path: file.path)
  }

  private static let zipEntry = Array("PK\u{3}\u{4}".utf8)

  /// A pickle of PyTorch's magic number 0x1950a86a20f9469cfc6c, with which its files before 1.6 begin.
  private static let legacyPyTorch: [UInt8] = [
    0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
  ]

  private static func describeStranger(_ head: [UInt8]) -> String {
    let text = String(decoding: head, as: UTF8.self).lowercased().drop(while: \.isWhitespace)
    let known = "HDF5, safetensors, PyTorch or NumPy (.npz)"
    if text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml") {
      return "this is a web page, not a file of weights: the download gave an error page; fetch it again"
    }
    if text.hasPrefix("version https://git-lfs") {
      return "this is a Git LFS pointer, not a file of weights: run git lfs pull"
    }
    if head.starts(with: [0x1F, 0x8B]) { return "this is a gzip file: unpack it first" }
    if head.allSatisfy({ $0 == 0 }) { return "the file begins with zeros: a save or a download did not finish" }
    if head.allSatisfy({ (32..<127).contains($0) || (9...13).contains($0) }) {
      return "this is a text file, not a file of weights: expected \(known)"
    }
    return "this is no file of weights that is known here: expected \(known)"
  }
}
