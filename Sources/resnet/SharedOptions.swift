import ArgumentParser
import Foundation
import Residual
import Synchronization

/// Which network, on how many threads.
struct NetworkOptions: ParsableArguments {
  @Option(
    help: "\(ModelName.allCases.map(\.rawValue).joined(separator: ", ")); resnet101 unless given.",
    transform: ModelName.init(named:))
  var model: ModelName?
  @Option(
    help: """
      fp32, or bf16: convolutions and linear layers multiply in bfloat16, which is faster where the processor does so \
      itself (AVX-512 BF16, AMX).
      """)
  var precision = PrecisionName.fp32
  @Option(parsing: .unconditional, help: "Threads; the number of processors unless given.") var threads: Int?

  func validate() throws {
    try requirePositive(threads, "--threads")
  }

  func apply() {
    if let threads { Threads.count = threads }
  }
}

/// The precisions of the command line.
enum PrecisionName: String, ExpressibleByArgument, CaseIterable {
  case fp32, bf16

  var precision: Precision { self == .bf16 ? .bfloat16 : .float32 }
}

/// How a file of weights is read.
struct WeightsOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Take this off the front of the file's keys, such as module.", valueName: "prefix"))
  var stripPrefix: String?
  @Flag(help: "Read compressed HDF5 files too; only from someone you trust.") var allowFilters = false
  @Flag(help: "Convert other floating-point types to float32.") var cast = false

  func read(_ path: String) throws -> StateDict {
    try StateDict(contentsOf: path, options: .init(allowingFilters: allowFilters))
  }

  var loading: LoadOptions { LoadOptions(strippingPrefix: stripPrefix, casting: cast) }
}

/// Which images, and how their pixels become numbers.
struct ImageOptions: ParsableArguments {
  @Option(help: "mnist, fashion-mnist, or a folder of IDX files or CIFAR-10 batches.") var data = "mnist"
  @Option(
    parsing: .unconditional, help: "Pad the images to this height and width; 32 unless given, or the images' own.")
  var imageSize: Int?
  @Option(
    parsing: .unconditional,
    help: "Subtracted from the pixels, which are 0...1: one number, or one a channel with commas.")
  var mean: NumberList?
  @Option(parsing: .unconditional, help: "What the pixels are divided by after that.") var std: NumberList?

  func validate() throws {
    try requirePositive(imageSize, "--image-size")
  }

  /// The data set; a download is announced on standard error.
  func source() throws -> DatasetSource {
    let announced = Mutex("")
    return try DatasetSource(data) { progress in
      announced.withLock { name in
        if name != progress.name { Console.writeError("downloading \(progress.name)") }
        name = progress.name
      }
    }
  }

  func loader(_ images: LabeledImages, batchSize: Int, order: EpochOrder) throws -> DataLoader {
    try DataLoader(
      images, batchSize: batchSize, order: order, imageSize: imageSize, mean: mean?.values ?? [],
      std: std?.values ?? [])
  }
}

extension LabeledImages {
  /// The first images, or all of them without a limit.
  func limited(to limit: Int?) -> LabeledImages { limit.map { prefix($0) } ?? self }
}

/// Numbers with commas between.
struct NumberList: ExpressibleByArgument {
  let values: [Float]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Float($0.trimmingCharacters(in: .whitespaces)) }
    guard values.count == parts.count else { return nil }
  }
}

/// Names with commas between.
struct NameList: ExpressibleByArgument {
  let values: [String]

  init?(argument: String) {
    values = argument.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    guard !values.isEmpty else { return nil }
  }
}

/// Throws a message for the command line when a count is not positive.
func requirePositive(_ value: Int?, _ name: String) throws {
  if let value, value <= 0 { throw ValidationError("\(name) must be 1 or more, not \(value)") }
}

/// Throws a message for the command line when a number is negative, infinite or none.
func requireNonNegative(_ value: Double, _ name: String) throws {
  guard value >= 0, value.isFinite else { throw ValidationError("\(name) must be a number from 0 up, not \(value)") }
}

/// Throws a message for the command line when a file that will hold HDF5 has the name of another format.
func requireHDF5Name(_ path: String?, _ name: String) throws {
  guard let path, FileFormat(endingOf: path) ?? .hdf5 != .hdf5 else { return }
  throw ValidationError("\(name) writes HDF5, which \(path) would be a misleading name for; use one that ends in .h5")
}
