import Foundation
import Residual
import Testing

extension Parity {
  @Test("Schedules give the learning rates of torch.optim.lr_scheduler")
  func schedules() throws {
    let output = try Python.run("tools/reference/schedules.py", [])
    let expected = try JSONDecoder().decode([String: [Double]].self, from: Data(output.utf8))
    let decays: [String: LearningRateSchedule.Decay] = [
      "constant": .constant, "step": .step(every: 7, factor: 0.3), "cosine": .cosine(over: 30, minimum: 0.002),
    ]
    #expect(expected.count == 2 * decays.count)
    for (name, decay) in decays {
      for (key, warmUp) in [(name, 0), ("\(name)-warm-up", 5)] {
        let rates = try #require(expected[key])
        #expect(rates.count == 40)
        let schedule = try LearningRateSchedule(base: 0.1, decay: decay, warmUpSteps: warmUp, warmUpStart: 0.25)
        for (step, rate) in rates.enumerated() {
          // PyTorch goes from each rate to the next and gathers roundings on the way.
          let error = abs(schedule.learningRate(at: step) - rate)
          #expect(error <= 1e-14, "\(key), step \(step): \(schedule.learningRate(at: step)), PyTorch's \(rate)")
        }
      }
    }
  }
}
