import Residual
import Testing

extension Parity {
  /// A whole training step and an evaluation of ResNet-18 give the same bits with any number of threads.
  @Test("Results do not depend on the number of threads", arguments: [(8, 32), (3, 45)])
  func threads(batchSize: Int, imageSize: Int) throws {
    let before = Threads.count
    defer { Threads.count = before }
    let initial = Generator.withDefault(Generator(seed: 0)) {
      resnet18(inputChannels: 3, classes: 10).stateDict()
    }

    func step(threads: Int) throws -> StateDict {
      Threads.count = threads
      let model = resnet18(inputChannels: 3, classes: 10)
      try model.load(initial)
      let optimizer = try Adam(model.parameters())
      let images = randomTensor([batchSize, 3, imageSize, imageSize], seed: 1).requiringGrad()
      let loss = crossEntropy(model(images), (0..<batchSize).map { $0 % 10 })
      loss.backward()
      var results: StateDict = ["loss": TensorData(loss)]
      results["input_grad"] = images.grad.map { TensorData($0) }
      for (key, parameter) in model.namedParameters() {
        results["grad.\(key)"] = try TensorData(#require(parameter.grad))
      }
      optimizer.step()
      for (key, value) in model.stateDict() { results["after.\(key)"] = value }
      model.eval()
      results["evaluation"] = withoutRecording { TensorData(model(images)) }
      return results
    }

    let single = try step(threads: 1)
    for count in [2, 3, 8] {
      let several = try step(threads: count)
      let different = single.keys.filter { several[$0] != single[$0] }
      #expect(several.keys == single.keys && different.isEmpty, "\(count) threads change \(different)")
    }
  }
}
