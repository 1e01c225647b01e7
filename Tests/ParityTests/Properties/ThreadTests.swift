import Residual
import Testing

extension Parity {
  /// Two whole training steps and an evaluation of ResNet-18 give the same bits with any number of threads.
  @Test(
    "Results do not depend on the number of threads", arguments: [(8, 32), (3, 45)], [Precision.float32, .bfloat16])
  func threads(batch: (size: Int, imageSize: Int), precision: Precision) throws {
    let (batchSize, imageSize) = batch
    let before = Threads.count
    defer { Threads.count = before }
    let initial = Generator.withDefault(Generator(seed: 0)) {
      resnet18(inputChannels: 3, classes: 10).stateDict()
    }

    func train(threads: Int) throws -> StateDict {
      Threads.count = threads
      let model = resnet18(inputChannels: 3, classes: 10)
      try model.load(initial)
      let optimizer = try Adam(model.parameters())
      let images = randomTensor([batchSize, 3, imageSize, imageSize], seed: 1).requiringGrad()
      var results = StateDict()
      for step in 1...2 {
        optimizer.zeroGradients()
        images.clearGrad()
        let loss = crossEntropy(withPrecision(precision) { model(images) }, (0..<batchSize).map { $0 % 10 })
        loss.backward()
        results["\(step).loss"] = TensorData(loss)
        results["\(step).norm"] = try TensorData([clipGradientNorm(model.parameters(), maximum: 1)], shape: [])
        results["\(step).input_grad"] = try TensorData(#require(images.grad))
        for (key, parameter) in model.namedParameters() {
          results["\(step).grad.\(key)"] = try TensorData(#require(parameter.grad))
        }
        optimizer.step()
        for (key, value) in model.stateDict() { results["\(step).after.\(key)"] = value }
      }
      model.eval()
      results["evaluation"] = withPrecision(precision) { withoutRecording { TensorData(model(images)) } }
      return results
    }

    let single = try train(threads: 1)
    for count in [2, 3, 8] {
      let several = try train(threads: count)
      let different = single.keys.filter { several[$0] != single[$0] }
      #expect(several.keys == single.keys && different.isEmpty, "\(count) threads change \(different)")
    }
  }
}
