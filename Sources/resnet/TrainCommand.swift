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

  @Option(help: ArgumentHelp("State dict to start from; not needed with --resume.", valueName: "file"))
  var weights: String?
  @Flag(
    help: "Go on with the optimizer's state too, of a PyTorch file that holds {\"model\": ..., \"optimizer\": ...}.")
  var withOptimizer = false
  @OptionGroup var reading: WeightsOptions
  @OptionGroup var options: TrainingOptions

  func validate() throws {
    guard (weights == nil) != (options.resume == nil) else {
      throw ValidationError("fine-tune starts from --weights FILE or goes on from --resume FILE: give one of them")
    }
    guard !withOptimizer || weights != nil else {
      throw ValidationError("--with-optimizer goes with --weights; a checkpoint that is resumed has its optimizer")
    }
  }

  func run() throws {
    try TrainingRun(options, weights: weights, withOptimizer: withOptimizer, reading: reading).run()
  }
}

/// What `train` and `fine-tune` have in common.
///
/// A number is whatever follows its option, so that a negative one is refused by name.
struct TrainingOptions: ParsableArguments {
  @OptionGroup var network: NetworkOptions
  @OptionGroup var images: ImageOptions
  @Option(parsing: .unconditional, help: "Images a step; 64 unless given.") var batchSize: Int?
  @Option(parsing: .unconditional, help: "Epochs; 1 unless given, or as many as --steps takes.") var epochs: Int?
  @Option(parsing: .unconditional, help: "Stop after this many steps.") var steps: Int?
  @Option(name: .customLong("lr"), parsing: .unconditional, help: "Learning rate; 0.001 unless given.")
  var learningRate: Double?
  @Option(help: "adam, adamw or sgd; adam unless given.") var optimizer: OptimizerName?
  @Option(parsing: .unconditional, help: "Momentum of sgd; 0 unless given.") var momentum: Double?
  @Option(parsing: .unconditional, help: "Weight decay; 0 unless given, for adamw 0.01.") var weightDecay: Double?
  @OptionGroup var schedule: ScheduleOptions
  @Option(parsing: .unconditional, help: "Seed of the weights and of the order of the images; 0 unless given.")
  var seed: UInt64?
  @Flag(name: .customLong("no-shuffle"), help: "Take the images in the file's order.") var keepsOrder = false
  @Option(help: "Train these modules alone, such as fc or layer4,fc; the others stay as they are.")
  var trainOnly: NameList?
  @Flag(help: "Compute each block again in the backward pass: less memory, more time, the same bits.")
  var recompute = false
  @Option(parsing: .unconditional, help: "Train on the first so many images only.") var limit: Int?
  @Option(parsing: .unconditional, help: "Test on the first so many images only.") var testLimit: Int?
  @Option(
    help: ArgumentHelp("Write weights and training state here after each epoch and at the end.", valueName: "file.h5"))
  var checkpoint: String?
  @Option(parsing: .unconditional, help: "Also write it every so many steps.") var saveEvery: Int?
  @Option(
    parsing: .unconditional,
    help: "Keep the last so many checkpoints and the best beside it, under names of their own.")
  var keep: Int?
  @Option(
    help: ArgumentHelp(
      "Go on from a checkpoint, or from the newest good one in a folder, bit for bit. Its options count.",
      valueName: "file"))
  var resume: String?
  @Flag(help: "One JSON object a line on standard output.") var json = false

  func validate() throws {
    try requirePositive(batchSize, "--batch-size")
    try requirePositive(epochs, "--epochs")
    try requirePositive(steps, "--steps")
    try requirePositive(limit, "--limit")
    try requirePositive(testLimit, "--test-limit")
    try requirePositive(saveEvery, "--save-every")
    try requirePositive(keep, "--keep")
    if let learningRate { try requireNonNegative(learningRate, "--lr") }
    if let momentum { try requireNonNegative(momentum, "--momentum") }
    if let weightDecay { try requireNonNegative(weightDecay, "--weight-decay") }
    if resume != nil && schedule.isGiven {
      throw ValidationError(
        "a run that is resumed goes on with its own schedule; leave --schedule and --warm-up-steps out")
    }
    try requireHDF5Name(checkpoint, "--checkpoint")
    if checkpoint == nil && (keep != nil || saveEvery != nil) {
      throw ValidationError("--keep and --save-every need --checkpoint FILE.h5")
    }
  }
}

/// The optimizers of the command line.
enum OptimizerName: String, ExpressibleByArgument, CaseIterable {
  case adam, adamw, sgd
}
