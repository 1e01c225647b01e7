import ArgumentParser
import Residual

/// `resnet train`: from weights drawn by a seed.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a network from the start.")

  @OptionGroup var options: TrainingOptions

  func run() throws { try TrainingRun(options).run() }
}

/// `resnet fine-tune`: from the weights of a file.
struct FineTuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fine-tune",
    abstract: "Go on training the weights of a file.",
    discussion: """
      A head for other classes and a stem for other input channels are replaced and adapted where the file's don't \
      fit, and what was done is printed (on standard error with --json).
      """)

  @Option(help: ArgumentHelp("State dict to start from.", valueName: "file"))
  var weights: String
  @OptionGroup var options: TrainingOptions

  func run() throws { try TrainingRun(options, weights: weights).run() }
}

/// What `train` and `fine-tune` have in common.
struct TrainingOptions: ParsableArguments {
  @OptionGroup var network: NetworkOptions
  @OptionGroup var images: ImageOptions
  @Option(help: "Images a step.") var batchSize = 64
  @Option(help: "Epochs; 1 unless given, or as many as --steps takes.") var epochs: Int?
  @Option(help: "Stop after this many steps.") var steps: Int?
  @Option(name: .customLong("lr"), help: "Learning rate.") var learningRate = 1e-3
  @Option(help: "adam or sgd.") var optimizer = OptimizerName.adam
  @Option(help: "Momentum of sgd.") var momentum = 0.0
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
    try requireNonNegative(learningRate, "--lr")
    try requireNonNegative(momentum, "--momentum")
    try requireHDF5Name(checkpoint, "--checkpoint")
  }
}

/// The optimizers of the command line.
enum OptimizerName: String, ExpressibleByArgument, CaseIterable {
  case adam, sgd
}
