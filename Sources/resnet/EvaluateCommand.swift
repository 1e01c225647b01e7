import ArgumentParser
import Residual

/// `resnet evaluate`: accuracy on the test split.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a network on the test images.")

  @Option(help: ArgumentHelp("State dict of the network.", valueName: "file")) var weights: String
  @OptionGroup var reading: WeightsOptions
  @OptionGroup var network: NetworkOptions
  @OptionGroup var images: ImageOptions
  @Option(parsing: .unconditional, help: "Images at a time.") var batchSize = 64
  @Option(parsing: .unconditional, help: "Only the first so many images.") var limit: Int?
  @Option(help: ArgumentHelp("Write logits and labels here, in the order of the images.", valueName: "out.h5"))
  var logits: String?
  @Flag(help: "One JSON object on standard output.") var json = false

  func validate() throws {
    try requirePositive(batchSize, "--batch-size")
    try requirePositive(limit, "--limit")
    try requireHDF5Name(logits, "--logits")
  }

  func run() throws {
    network.apply()
    if let logits { try AtomicFile.checkWritable(logits) }
    let state = try reading.read(weights)
    let test = try images.source().load(.test).limited(to: limit)
    let loader = try images.loader(test, batchSize: batchSize, order: .sequential)
    let model = (network.model ?? .resnet101).build(
      inputChannels: test.channels, classes: test.classes, imageSize: loader.imageSize)
    try model.load(state, options: reading.loading)
    var values: [Float] = []
    var labels: [Int64] = []
    let metrics = try withPrecision(network.precision.precision) {
      try evaluate(model, on: loader) { logits, batch in
        values += logits.scalars
        labels += batch.map(Int64.init)
      }
    }
    if let path = logits {
      let table: StateDict = [
        "logits": TensorData(values, shape: [labels.count, test.classes]),
        "labels": TensorData(labels, shape: [labels.count]),
      ]
      try table.write(to: path, format: .hdf5)
    }
    try Output(json: json).report(metrics)
  }
}
