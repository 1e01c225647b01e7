@testable import ResidualState

/// One input is the pickle in a zip file of PyTorch: packed anew, for the checksum would keep damaged ones out.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let pickle = Array(UnsafeBufferPointer(start: bytes, count: count))
  let entries =
    [ZipWriter.Entry("a/data.pkl", pickle)]
    + (0..<4).map { ZipWriter.Entry("a/data/\($0)", [UInt8](repeating: 1, count: 24)) }
  guard (try? ZipWriter.write(entries, to: FuzzFile.path)) != nil else { return 0 }
  _ = try? PyTorchFile.read(FuzzFile.path)
  FuzzFile.read()
  return 0
}
