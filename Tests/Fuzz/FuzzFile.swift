import Foundation

@testable import ResidualState

/// The file that holds a fuzzer's input while a reader reads it.
enum FuzzFile {
  static let path = "/dev/shm/residual-fuzz-\(getpid())"

  /// Puts the bytes that libFuzzer made into the file.
  static func write(_ bytes: UnsafeRawBufferPointer) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0 && Foundation.write(descriptor, bytes.baseAddress, bytes.count) == bytes.count)
    close(descriptor)
  }

  /// Reads the file as users do, and looks at every byte of what it holds.
  static func read() {
    guard let stateDict = try? StateDict(contentsOf: path) else { return }
    for (_, tensor) in stateDict { _ = CRC32C.checksum(tensor) }
  }
}

extension CRC32C {
  fileprivate static func checksum(_ tensor: TensorData) -> UInt32 { tensor.withUnsafeBytes { checksum($0) } }
}
