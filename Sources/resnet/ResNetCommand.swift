import ArgumentParser

/// The command line: thin commands over the library.
@main
struct ResNetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resnet",
    abstract: "Train, evaluate and inspect residual networks on the CPU.",
    subcommands: [TrainCommand.self, FineTuneCommand.self, EvaluateCommand.self, InspectCommand.self])
}
