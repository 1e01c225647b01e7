import ArgumentParser
import Residual

/// `resnet train`: from weights drawn by a seed.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a network from the start.")

  @OptionGroup var options: TrainingOptions

  func run() throws { try reportingErrors { try TrainingRun(options).run() } }
}

/// `resnet fine-tune`: from the weights of a file.
struct FineTuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fine-tune",
    abstract: "Go on training the weights of a file.",
    discussion: """
      A head for other classes and a stem for other input channels are replaced and adapted where the file's don't \
      fit, and what was done is printed.
      """)

  @Option(help: ArgumentHelp("State dict to start from.", valueName: "file"))
  var weights: String
  @OptionGroup var options: TrainingOptions

  func run() throws { try reportingErrors { try TrainingRun(options, weights: weights).run() } }
}

/// What `train` and `fine-tune` have in common.
struct TrainingOptions: ParsableArguments {
  @OptionGroup var network: NetworkOptions
  @OptionGroup var images: ImageOptions
  @Option(help: "Images a step.") var batchSize = 64
  @Option(help: "Epochs, counted from the start of the run.") var epochs = 1
  @Option(help: "Stop after this many steps.") var steps: Int?
  @Option(name: .customLong("lr"), help: "Learning rate.") var learningRate = 1e-3
  @Option(help: "adam or sgd.") var optimizer = OptimizerName.adam
  @Option(help: "Momentum of sgd.") var momentum = 0.9
  @Option(help: "Seed of the weights and of the order of the images.") var seed: UInt64 = 0
  @Flag(name: .customLong("no-shuffle"), help: "Take the images in the file's order.") var keepsOrder = false
  @Option(help: "Train on the first so many images only.") var limit: Int?
  @Option(help: "Test on the first so many images only.") var testLimit: Int?
  @Option(help: ArgumentHelp("Write the weights here after each epoch.", valueName: "file.h5"))
  var checkpoint: String?
  @Flag(help: "One JSON object a line on standard output.") var json = false

  func validate() throws {
    try requirePositive(batchSize, "--batch-size")
    try requirePositive(epochs, "--epochs")
    try requirePositive(steps, "--steps")
    try requirePositive(limit, "--limit")
    try requirePositive(testLimit, "--test-limit")
  }
}

/// The optimizers of the command line.
enum OptimizerName: String, ExpressibleByArgument, CaseIterable {
  case adam, sgd
}

/// Which network, on how many threads.
struct NetworkOptions: ParsableArguments {
  @Option(help: "\(ModelName.allCases.map(\.rawValue).joined(separator: ", ")).") var model = ModelName.resnet101
  @Option(help: "Threads; the number of processors unless given.") var threads: Int?

  func validate() throws {
    try requirePositive(threads, "--threads")
  }

  func apply() {
    if let threads { Threads.count = threads }
  }
}

extension ModelName: ExpressibleByArgument {}

/// Which images, and how their pixels become numbers.
struct ImageOptions: ParsableArguments {
  @Option(help: "mnist, fashion-mnist, or a folder of IDX files or CIFAR-10 batches.") var data = "mnist"
  @Option(help: "Pad the images to this height and width; 32 unless given, or the images' own.") var imageSize: Int?
  @Option(help: "Subtracted from the pixels, which are 0...1: one number, or one a channel with commas.")
  var mean = NumberList()
  @Option(help: "What the pixels are divided by after that.") var std = NumberList()

  func loader(_ images: LabeledImages, batchSize: Int, order: EpochOrder) throws -> DataLoader {
    try DataLoader(
      images, batchSize: batchSize, order: order, imageSize: imageSize, mean: mean.values, std: std.values)
  }
}

/// Numbers with commas between.
struct NumberList: ExpressibleByArgument {
  var values: [Float] = []

  init() {}

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Float($0.trimming { $0 == " " }) }
    guard values.count == parts.count else { return nil }
  }
}

extension Substring {
  fileprivate func trimming(_ isOuter: (Character) -> Bool) -> Substring {
    let start = drop(while: isOuter)
    guard let last = start.lastIndex(where: { !isOuter($0) }) else { return "" }
    return start[...last]
  }
}

/// Throws a message for the command line when a count is not positive.
func requirePositive(_ value: Int?, _ name: String) throws {
  if let value, value <= 0 { throw ValidationError("\(name) must be 1 or more, not \(value)") }
}
