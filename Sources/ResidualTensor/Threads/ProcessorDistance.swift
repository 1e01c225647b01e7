import Synchronization

/// How far two processors are from each other, which decides what it costs a thread to read what another has written.
///
/// On a virtual machine it changes with the processors it is given: two that share a cache hand a line over in some 70 ns,
/// others in four times as long.
public enum ProcessorDistance {
  private static let exchanges = 10_000
  private static let patience = Duration.milliseconds(100)

  /// Nanoseconds that a cache line takes from one thread to another; nil where no two run at the same time.
  ///
  /// Takes a few milliseconds, and gives up after a tenth of a second.
  public static func measureNanoseconds() -> Double? {
    guard Threads.count > 1 else { return nil }
    let turn = Atomic<Int>(0)
    let result = Mutex<Double?>(nil)
    let deadline = ContinuousClock.now + patience
    Threads.run(2) { side in
      var start: ContinuousClock.Instant?
      for exchange in 0..<exchanges {
        guard wait(for: turn, toBe: 2 * exchange + side, until: deadline) else { return }
        start = start ?? .now
        turn.store(2 * exchange + side + 1, ordering: .releasing)
      }
      guard side == 1, let start else { return }
      let elapsed = (ContinuousClock.now - start) / .nanoseconds(1)
      result.withLock { $0 = elapsed / Double(2 * exchanges - 1) }
    }
    return result.withLock { $0 }
  }

  private static func wait(
    for turn: borrowing Atomic<Int>, toBe number: Int, until deadline: ContinuousClock.Instant
  ) -> Bool {
    let looks = 1000
    while true {
      for _ in 0..<looks where turn.load(ordering: .acquiring) == number { return true }
      if ContinuousClock.now > deadline { return false }
    }
  }
}
