import ArgumentParser
import Residual

@main
struct ResNetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resnet", abstract: "Train, evaluate and inspect residual networks.")
}
