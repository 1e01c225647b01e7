import ArgumentParser
import Residual

/// What the learning rate does over a run.
struct ScheduleOptions: ParsableArguments {
  @Option(
    help: """
      constant; step: multiplied by --gamma every --decay-epochs epochs; cosine: down to 0 over the steps of the run as \
      --epochs and --steps say. constant unless given; a run that is resumed goes on with its own.
      """)
  var schedule: ScheduleName?
  @Option(parsing: .unconditional, help: "Epochs between two steps of --schedule step.") var decayEpochs: Int?
  @Option(parsing: .unconditional, help: "What --schedule step multiplies by; 0.1 unless given.") var gamma: Double?
  @Option(
    parsing: .unconditional,
    help: "Rise in a straight line from a third of the learning rate over the first so many steps.")
  var warmUpSteps: Int?

  func validate() throws {
    try requirePositive(decayEpochs, "--decay-epochs")
    try requirePositive(warmUpSteps, "--warm-up-steps")
    if let gamma { try requireNonNegative(gamma, "--gamma") }
    guard (schedule == .step) == (decayEpochs != nil) else {
      throw ValidationError("--schedule step and --decay-epochs go together")
    }
    guard gamma == nil || schedule == .step else { throw ValidationError("--gamma goes with --schedule step") }
  }

  /// Whether any of the options is given.
  var isGiven: Bool { schedule != nil || warmUpSteps != nil }

  /// The schedule of a run of so many steps; nil where the learning rate stays.
  func schedule(from base: Double, steps: Int, batches: Int) throws -> LearningRateSchedule? {
    guard isGiven else { return nil }
    let warmUp = warmUpSteps ?? 0
    let decay: LearningRateSchedule.Decay
    switch schedule {
    case nil, .constant?: decay = .constant
    case .step?: decay = .step(every: (decayEpochs ?? 1) * batches, factor: gamma ?? 0.1)
    case .cosine?:
      guard steps > warmUp else {
        throw ValidationError("--warm-up-steps \(warmUp) leaves nothing of the \(steps) steps for --schedule cosine")
      }
      decay = .cosine(over: steps - warmUp, minimum: 0)
    }
    return try LearningRateSchedule(base: base, decay: decay, warmUpSteps: warmUp)
  }
}

/// The schedules of the command line.
enum ScheduleName: String, ExpressibleByArgument, CaseIterable {
  case constant, step, cosine
}
