import Foundation
import ResidualNN
import ResidualTensor
import ResidualTraining
import ResidualVision
import Testing

@Suite("Learning rate schedules")
struct ScheduleTests {
  @Test("A schedule sets the learning rate before each step of the run, also after the run has gone on")
  func drivesTheRun() throws {
    let schedule = try LearningRateSchedule(
      base: 0.1, decay: .step(every: 2, factor: 0.5), warmUpSteps: 1, warmUpStart: 0)
    let model = SmallCNN(inputChannels: 1, classes: 3, imageSize: 8)
    let optimizer = try SGD(model.parameters(), learningRate: 7)
    let trainer = try Trainer(
      model, optimizer: optimizer, trainLoader: makeLoader(makeImages(10), batchSize: 4), schedule: schedule)
    var rates: [Double] = []
    let note = { (event: TrainingEvent) in
      if case .step = event { rates.append(optimizer.learningRate) }
    }
    try trainer.run(steps: 2, onEvent: note)
    try trainer.run(steps: 6, onEvent: note)
    #expect(rates == [0, 0.1, 0.1, 0.05, 0.05, 0.025])
    try trainer.rebaseSchedule(on: 0.4)
    try trainer.run(steps: 7, onEvent: note)
    #expect(rates.last == 0.1)
  }

  @Test("Numbers outside their ranges are refused, also when they come from a file")
  func refused() throws {
    typealias Arguments = (base: Double, decay: LearningRateSchedule.Decay, steps: Int, start: Double, words: String)
    let cases: [Arguments] = [
      (-1, .constant, 0, 0.5, "the learning rate is -1.0"), (.nan, .constant, 0, 0.5, "the learning rate is nan"),
      (1, .constant, -1, 0.5, "-1 steps"), (1, .constant, 1, 1.5, "starts at 1.5"),
      (1, .step(every: 0, factor: 0.1), 0, 0.5, "every 0 steps"),
      (1, .step(every: 1, factor: -0.1), 0, 0.5, "multiplied by -0.1"),
      (1, .cosine(over: 0, minimum: 0), 0, 0.5, "takes 0 steps"),
      (1, .cosine(over: 5, minimum: .infinity), 0, 0.5, "minimum is inf"),
    ]
    for c in cases {
      let error = #expect(throws: TrainingError.self) {
        try LearningRateSchedule(base: c.base, decay: c.decay, warmUpSteps: c.steps, warmUpStart: c.start)
      }
      #expect(error?.code == .invalidSchedule && error?.message.contains(c.words) == true, "\(c.words)")
    }
    let good = try LearningRateSchedule(base: 0.1, decay: .cosine(over: 5, minimum: 0), warmUpSteps: 3)
    let bytes = try JSONEncoder().encode(good)
    #expect(try JSONDecoder().decode(LearningRateSchedule.self, from: bytes) == good)
    let bad = String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\"over\":5", with: "\"over\":0")
    #expect(throws: TrainingError.self) {
      try JSONDecoder().decode(LearningRateSchedule.self, from: Data(bad.utf8))
    }
  }
}
