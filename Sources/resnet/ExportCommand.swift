import ArgumentParser
import Residual

/// `resnet export`: a training checkpoint for PyTorch to go on with.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Hand a training checkpoint over to PyTorch.",
    discussion: """
      Without --optimizer the file is what model.load_state_dict(torch.load(FILE)) takes. With it, it is a dict whose \
      "model" and "optimizer" are the two state dicts, for an optimizer made of model.parameters(). The way back is \
      fine-tune --weights FILE --with-optimizer.
      """)

  @Argument(help: ArgumentHelp("Training checkpoint.", valueName: "checkpoint.h5")) var input: String
  @Argument(help: ArgumentHelp("New file.", valueName: "out.pth")) var output: String
  @Flag(help: "The optimizer's state too, as torch.optim has it.") var optimizer = false

  func validate() throws {
    guard FileFormat(endingOf: output) == .pytorch else {
      throw ValidationError("\(output) would be a misleading name for a PyTorch file; use one that ends in .pth")
    }
  }

  func run() throws {
    try AtomicFile.checkWritable(output)
    let checkpoint = try TrainingCheckpoint(contentsOf: input)
    if optimizer {
      let names = try checkpoint.run.makeModel().namedParameters().map(\.key)
      try PyTorchFile.write(checkpoint.pyTorchValue(parameterNames: names), to: output)
    } else {
      try checkpoint.model.write(to: output, format: .pytorch)
    }
    let kind = optimizer ? ", \(checkpoint.optimizer.kind) with \(checkpoint.optimizer.tensors.count)" : ""
    try Output(json: false).say("wrote \(output): \(checkpoint.model.count) entries\(kind)")
  }
}
