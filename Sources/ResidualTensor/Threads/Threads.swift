import CKernels
import Foundation
import Synchronization

/// How many threads the kernels use, and how work is handed to them.
///
/// Work is cut into tasks by its shape alone and every task writes its own part of the result, so the number of
/// threads never changes a bit of it.
public enum Threads {
  private static let configuredCount = Atomic<Int>(ProcessInfo.processInfo.activeProcessorCount)
  private static let flushing = Atomic<Bool>(true)
  @TaskLocal static var aside: AsideWork?

  /// Threads that share the work; the number of processors unless set.
  ///
  /// PyTorch: `torch.set_num_threads`.
  public static var count: Int {
    get { configuredCount.load(ordering: .relaxed) }
    set {
      precondition(newValue > 0, "Threads.count must be positive, not \(newValue)")
      configuredCount.store(newValue, ordering: .relaxed)
    }
  }

  /// Whether numbers below 1.2e-38 count as zero on every thread that runs kernels; true unless switched off.
  ///
  /// Processors handle such denormal numbers many times slower, and a training run that produces them crawls; their
  /// loss changes nothing that a float32 sum could show. PyTorch: `torch.set_flush_denormal`.
  public static var flushesDenormals: Bool {
    get { flushing.load(ordering: .relaxed) }
    set { flushing.store(newValue, ordering: .relaxed) }
  }

  /// Runs `body` once for each task number below `tasks`, on up to `count` threads, and waits for all of them.
  public static func run(_ tasks: Int, _ body: (Int) -> Void) {
    let workers = min(count, tasks)
    if workers <= 1 {
      let mode = rk_denormals_flush(flushesDenormals)
      for task in 0..<tasks { body(task) }
      rk_denormals_restore(mode)
      return
    }
    WorkerPool.shared.run(tasks, helpers: workers - 1, body)
  }

  /// Runs `body`, beside which half of the threads do what it hands out with ``runAside(_:_:)``; that is done, too, when
  /// this returns.
  public static func withWorkAside(_ body: () -> Void) {
    let work = WorkerPool.shared.beginWorkAside()
    $aside.withValue(work, operation: body)
    if let work { WorkerPool.shared.end(work) }
  }

  /// Runs `body` once for each task number below `tasks`: at once, or inside ``withWorkAside(_:)`` some time before that
  /// returns, on half of the threads beside what the others compute.
  ///
  /// For what nobody needs soon: threads that do different things need not wait for each other. Nobody may look at what
  /// the tasks write before ``finishAside()``, or change what they read; `body` keeps that alive. What is handed out aside
  /// next begins when this is done.
  public static func runAside(_ tasks: Int, _ body: @escaping (Int) -> Void) {
    guard count > 1, let aside else { return run(tasks, body) }
    aside.post(tasks, helpers: count / 2, body)
  }

  /// Returns when all is done that was handed out with ``runAside(_:_:)``.
  public static func finishAside() { aside?.finish() }

  /// Runs `body` over consecutive ranges that cover 0..<`count`, each `grain` long but the last.
  public static func run(over count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let chunks = Chunks(count: count, grain: grain)
    run(chunks.number) { body(chunks[$0]) }
  }
}

/// A division of 0..<count into ranges of equal length (the last may be shorter), a function of the two numbers alone.
struct Chunks {
  let count: Int
  let grain: Int

  var number: Int { (count + grain - 1) / grain }

  subscript(index: Int) -> Range<Int> { index * grain..<min(count, (index + 1) * grain) }
}
