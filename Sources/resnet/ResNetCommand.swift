import ArgumentParser

/// The command line: thin commands over the library.
@main
struct ResNetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resnet",
    abstract: "Train, evaluate and inspect residual networks on the CPU.",
    discussion: """
      What goes wrong is told in one line on standard error. Exit status: 0 when all went well, 1 when a file, the data \
      or the training is at fault or diff finds differences, 64 when an argument is.
      """,
    subcommands: [
      TrainCommand.self, FineTuneCommand.self, EvaluateCommand.self, InspectCommand.self, ConvertCommand.self,
      DiffCommand.self, VerifyCommand.self, ExportCommand.self, FetchCommand.self, BenchmarkCommand.self,
    ])

  /// Parses and runs; help goes to standard output, an error to standard error as one line.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      // Help, or a command that has said all there is to say and only sets the status.
      if code == .success || error is ExitCode { exit(withError: error) }
      Console.writeError("error: \(message(for: error))")
      exit(withError: code)
    }
  }
}
