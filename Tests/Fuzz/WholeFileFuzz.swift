/// One input is one file, of whatever format its content says.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzFile.write(UnsafeRawBufferPointer(start: bytes, count: count))
  FuzzFile.read()
  return 0
}
