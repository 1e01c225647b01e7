/// How much memory a file may ask for beyond the bytes it holds: 16 times its size and 16 MiB.
///
/// What is read as it lies in the file is bounded by the file's size. Two things are not: compressed entries, which can
/// claim a thousand times their size, and views that show the same bytes again and again (PyTorch's `expand` has a
/// stride of 0). Both are paid from one budget for each file.
struct ExpansionBudget {
  private let path: String
  private let limit: Int
  private var left: Int

  init(for file: InputFile) {
    path = file.path
    limit = 16 << 20 + 16 * min(file.size, 1 << 50)
    left = limit
  }

  /// Pays for `byteCount` bytes; throws `refused` where the budget does not have them.
  mutating func spend(_ byteCount: Int, on name: String) throws(StateError) {
    guard byteCount <= left else {
      throw StateError(
        .refused,
        "\"\(name)\" would unfold the file to more than \(limit) bytes, 16 times its size: this is a decompression bomb "
          + "or a view that repeats its bytes; in Python, save it uncompressed and with .contiguous()",
        key: name, path: path)
    }
    left -= byteCount
  }
}
