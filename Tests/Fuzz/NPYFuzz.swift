@testable import ResidualState

/// One input is an array in a NumPy archive: packed anew, for the checksum would keep damaged ones out.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let array = Array(UnsafeBufferPointer(start: bytes, count: count))
  guard (try? ZipWriter.write([.init("x.npy", array)], to: FuzzFile.path)) != nil else { return 0 }
  FuzzFile.read()
  return 0
}
