import Synchronization

/// A source of random numbers that gives the numbers of `torch.Generator` on the CPU: one seed, one sequence, on either
/// side.
///
/// Generators are shared by reference, like PyTorch's. Every draw and every fill is atomic, so sharing one between
/// threads is safe, though the order in which threads draw is theirs.
public final class Generator: Sendable {
  /// The generator that is used where none is given; PyTorch: `torch.default_generator`.
  ///
  /// It starts from PyTorch's default seed. `Generator.default.manualSeed(0)` is `torch.manual_seed(0)`.
  public static var `default`: Generator { current }

  @TaskLocal private static var current = Generator(seed: 67_280_421_310_721)

  /// Runs `body` with `generator` as the default, for this task alone: whatever others draw meanwhile changes nothing.
  public static func withDefault<Result>(_ generator: Generator, _ body: () throws -> Result) rethrows -> Result {
    try $current.withValue(generator, operation: body)
  }

  private let protected: Mutex<State>

  /// Creates a generator; equal to `torch.Generator().manual_seed(seed)`.
  ///
  /// Only the low 32 bits of the seed count, as in PyTorch.
  public init(seed: UInt64) {
    protected = Mutex(State(seed: seed))
  }

  /// Starts anew from a seed and forgets the cached normal value; PyTorch: `manual_seed`.
  public func manualSeed(_ seed: UInt64) {
    state = State(seed: seed)
  }

  /// Everything that decides the numbers to come: keep it and set it again to continue where it was.
  public var state: State {
    get { protected.withLock { $0 } }
    set { withState { $0 = newValue } }
  }

  /// Runs `body` with exclusive use of the state.
  func withState<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    protected.withLock { state in
      GeneratorJournal.current?.note(self, state)
      return body(&state)
    }
  }
}

extension Generator {
  /// A generator's state as a value, to be saved with a run and restored from it.
  public struct State: Sendable, Equatable {
    var twister: MersenneTwister

    /// The second value of the last pair that the scalar normal path made, before mean and standard deviation.
    public internal(set) var cachedNormal: Double?

    /// The state of a generator that has just been seeded.
    public init(seed: UInt64) {
      twister = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
    }

    /// Rebuilds a saved state; nil unless there are 624 words, not all zero, a position in 0...624 and a finite cached
    /// normal value or none.
    public init?(words: [UInt32], position: Int, cachedNormal: Double?) {
      guard let twister = MersenneTwister(words: words, position: position), cachedNormal?.isFinite ?? true
      else { return nil }
      self.twister = twister
      self.cachedNormal = cachedNormal
    }

    /// The 624 words of the Mersenne Twister.
    public var words: [UInt32] { twister.words }

    /// How many of the words have been used up.
    public var position: Int { twister.position }
  }
}
