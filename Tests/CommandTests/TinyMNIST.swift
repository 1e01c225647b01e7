import Foundation

/// A folder in MNIST's format with a few images: a bright bar whose row tells the class.
struct TinyMNIST {
  static let trainCount = 20
  static let testCount = 12
  let folder: TemporaryFolder
  var path: String { folder.path }

  init() throws {
    folder = try TemporaryFolder()
    for (name, count) in [("train", Self.trainCount), ("t10k", Self.testCount)] {
      try folder.write(Self.imageFile(count), to: "\(name)-images-idx3-ubyte")
      try folder.write(Self.labelFile(count), to: "\(name)-labels-idx1-ubyte")
    }
  }

  /// Replaces a file.
  func write(_ bytes: some Sequence<UInt8>, to name: String) throws { try folder.write(bytes, to: name) }

  static func labels(_ count: Int) -> [UInt8] { (0..<count).map { UInt8($0 * 7 % 10) } }

  static func labelFile(_ count: Int) -> [UInt8] { [0, 0, 8, 1] + bigEndian(count) + labels(count) }

  static func imageFile(_ count: Int) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: count * 784)
    for (image, label) in labels(count).enumerated() {
      for x in 4..<24 { pixels[image * 784 + (4 + 2 * Int(label)) * 28 + x] = UInt8(200 + image) }
    }
    return [0, 0, 8, 3] + bigEndian(count) + bigEndian(28) + bigEndian(28) + pixels
  }

  private static func bigEndian(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> $0 & 255) } }
}
