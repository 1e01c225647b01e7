import CKernels
import Dispatch
import Foundation
import Synchronization

/// Threads that stay and look out for work.
///
/// A training step hands out hundreds of short pieces of work. Waking a thread for each of them costs more than the
/// piece may take, and the system often wakes it on the very processor that is busy handing out. So a worker that has
/// nothing to do watches for the next job for a moment before it sleeps.
final class WorkerPool: Sendable {
  static let shared = WorkerPool()

  /// Looks at the job board before a worker sleeps: about half a millisecond.
  private static let patience = 8000
  private static let processors = ProcessInfo.processInfo.activeProcessorCount

  private let board = Mutex(Board())
  private let postings = Atomic<Int>(0)
  private let alarm = DispatchSemaphore(value: 0)

  private struct Board {
    var job: Job?
    var aside: AsideWork?
    var workers = 0
    var sleepers = 0

    /// Counts a worker in where there is something to do: aside, if anything.
    func enter() -> Job? { aside?.enter() ?? job?.enter() }
  }

  /// Runs `body` for each task number below `tasks` on the calling thread and up to `helpers` others.
  ///
  /// One job runs at a time: a caller that finds the pool busy, also one inside a task, does all its tasks by itself.
  func run(_ tasks: Int, helpers: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        let job = Job(tasks: tasks, places: helpers, body)
        guard post(job) else { return job.work(fromTheFront: true) }
        announce(helpers: helpers)
        job.work(fromTheFront: true)
        board.withLock { $0.job = nil }
        job.waitUntilLeft()
      }
    }
  }

  /// Makes the job known, unless there is one.
  private func post(_ job: Job) -> Bool {
    board.withLock { board in
      guard board.job == nil else { return false }
      board.job = job
      return true
    }
  }

  /// What the caller can hand out beside the pool's jobs, until ``end(_:)``; nil while somebody else does.
  func beginWorkAside() -> AsideWork? {
    board.withLock { board in
      guard board.aside == nil else { return nil }
      board.aside = AsideWork(pool: self)
      return board.aside
    }
  }

  /// Returns when all that was handed out aside is done.
  func end(_ work: AsideWork) {
    work.finish()
    board.withLock { $0.aside = nil }
  }

  /// Starts and wakes as many workers as something new needs.
  func announce(helpers: Int) {
    let wakes = board.withLock { board in
      postings.wrappingAdd(1, ordering: .releasing)
      while board.workers < helpers {
        board.workers += 1
        startWorker()
      }
      let wakes = min(board.sleepers, helpers)
      board.sleepers -= wakes
      return wakes
    }
    for _ in 0..<wakes { alarm.signal() }
  }

  private func startWorker() {
    let thread = Thread { [self] in
      var seen = 0
      while true {
        seen = awaitPosting(after: seen)
        while let job = board.withLock({ $0.enter() }) { job.workAndLeave() }
      }
    }
    thread.name = "residual"
    thread.stackSize = 4 << 20
    thread.start()
  }

  /// Returns the number of the newest posting once it is not `seen`.
  private func awaitPosting(after seen: Int) -> Int {
    // With more threads than processors, whoever watches is in the way of whoever works.
    let patience = Threads.count <= Self.processors ? Self.patience : 0
    for _ in 0..<patience {
      let newest = postings.load(ordering: .acquiring)
      if newest != seen { return newest }
      rk_spin_pause()
    }
    let sleeps = board.withLock { board in
      guard postings.load(ordering: .acquiring) == seen else { return false }
      board.sleepers += 1
      return true
    }
    if sleeps { alarm.wait() }
    return postings.load(ordering: .acquiring)
  }
}
