import CKernels

/// What the threads could do at best: the yardstick for a kernel's speed.
public enum MachinePeak {
  /// Float32 multiply-adds in registers on all threads at once, in 10^9 operations a second; 2 a multiply-add.
  ///
  /// Takes about 0.1 s.
  public static func measureGFLOPS() -> Double {
    let repeats = 2_000_000
    let operations = rk_peak_operations(1) * Double(repeats * Threads.count)
    func round() -> Double {
      let start = ContinuousClock.now
      Threads.run(Threads.count) { _ in _ = rk_peak_operations(repeats) }
      return (ContinuousClock.now - start) / .seconds(1)
    }
    _ = round()
    let seconds = min(round(), round())
    return operations / seconds / 1e9
  }
}
