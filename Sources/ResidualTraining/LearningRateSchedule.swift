import Foundation

/// The learning rate of every step of a run: a decay, after a warm-up if wanted.
///
/// It depends on the number of the step alone, so a resumed run goes on with it exactly. PyTorch: the schedulers of
/// `torch.optim.lr_scheduler`, with `scheduler.step()` after each `optimizer.step()`; a warm-up is
/// `SequentialLR([LinearLR(start_factor, total_iters=steps), decay], milestones=[steps])`.
public struct LearningRateSchedule: Sendable, Equatable, Codable {
  /// What happens to the learning rate after the warm-up.
  public enum Decay: Sendable, Equatable, Codable {
    /// Nothing.
    case constant
    /// It is multiplied by `factor` every so many steps. PyTorch: `StepLR(step_size, gamma)`.
    case step(every: Int, factor: Double)
    /// It goes down to `minimum` along half a cosine over so many steps, and after them up again, as PyTorch's does.
    /// PyTorch: `CosineAnnealingLR(T_max, eta_min)`.
    case cosine(over: Int, minimum: Double)
  }

  /// The learning rate that the decay starts from.
  public private(set) var base: Double
  /// What happens after the warm-up.
  public let decay: Decay
  /// Steps over which it rises in a straight line to `base`; 0 for none.
  public let warmUpSteps: Int
  /// The share of `base` that the warm-up starts from.
  public let warmUpStart: Double

  /// A schedule of a run's steps.
  ///
  /// - Throws: `TrainingError` for a negative or infinite learning rate, a period below 1, or a warm-up start outside 0...1.
  public init(base: Double, decay: Decay, warmUpSteps: Int = 0, warmUpStart: Double = 1.0 / 3) throws {
    self.base = base
    self.decay = decay
    self.warmUpSteps = warmUpSteps
    self.warmUpStart = warmUpStart
    try check()
  }

  /// Decodes a schedule; throws what `init(base:decay:warmUpSteps:warmUpStart:)` throws too.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    try self.init(
      base: container.decode(Double.self, forKey: .base), decay: container.decode(Decay.self, forKey: .decay),
      warmUpSteps: container.decode(Int.self, forKey: .warmUpSteps),
      warmUpStart: container.decode(Double.self, forKey: .warmUpStart))
  }

  /// The same schedule from another learning rate.
  public func rebased(on base: Double) throws -> LearningRateSchedule {
    try LearningRateSchedule(base: base, decay: decay, warmUpSteps: warmUpSteps, warmUpStart: warmUpStart)
  }

  /// The learning rate of a step, counted from 0 over the whole run.
  public func learningRate(at step: Int) -> Double {
    if step < warmUpSteps {
      return base * (warmUpStart + (1 - warmUpStart) * Double(step) / Double(warmUpSteps))
    }
    let step = step - warmUpSteps
    switch decay {
    case .constant: return base
    case .step(let period, let factor): return base * pow(factor, Double(step / period))
    case .cosine(let period, let minimum):
      return minimum + (base - minimum) * (1 + cos(.pi * Double(step) / Double(period))) / 2
    }
  }

  private func check() throws {
    func require(_ condition: Bool, _ words: String) throws {
      if !condition { throw TrainingError(code: .invalidSchedule, message: "the learning rate's schedule: \(words)") }
    }
    try require(base >= 0 && base.isFinite, "the learning rate is \(base), but must be a finite number, 0 or more")
    try require(warmUpSteps >= 0, "the warm-up has \(warmUpSteps) steps, but must have 0 or more")
    try require((0...1).contains(warmUpStart), "the warm-up starts at \(warmUpStart) of it, but must at 0...1")
    switch decay {
    case .constant: break
    case .step(let period, let factor):
      try require(period > 0, "it falls every \(period) steps, but must every 1 or more")
      try require(
        factor >= 0 && factor.isFinite, "it is multiplied by \(factor), but must by a finite number, 0 or more")
    case .cosine(let period, let minimum):
      try require(period > 0, "the cosine takes \(period) steps, but must take 1 or more")
      try require(minimum >= 0 && minimum.isFinite, "the minimum is \(minimum), but must be a finite number, 0 or more")
    }
  }
}
