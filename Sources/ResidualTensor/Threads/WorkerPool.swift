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
  /// Looks before a caller that waits for the last tasks lets other threads run.
  private static let callerPatience = 20_000
  private static let processors = ProcessInfo.processInfo.activeProcessorCount

  private let board = Mutex(Board())
  private let postings = Atomic<Int>(0)
  private let alarm = DispatchSemaphore(value: 0)

  /// How workers come to a job.
  enum Kind {
    /// They join the caller, who does it, too.
    case joint
    /// One of them does it before it joins another.
    case aside
  }

  private struct Board {
    private var joint: Job?
    private var aside: Job?
    var workers = 0
    var sleepers = 0

    /// The job of each kind that there is now.
    subscript(kind: Kind) -> Job? {
      get { kind == .joint ? joint : aside }
      set { if kind == .joint { joint = newValue } else { aside = newValue } }
    }
  }

  /// Runs `body` for each task number below `tasks` on the calling thread and up to `helpers` others.
  ///
  /// One job runs at a time: a caller that finds the pool busy, also one inside a task, does all its tasks by itself.
  func run(_ tasks: Int, helpers: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        let job = Job(tasks: tasks, places: helpers, body)
        if post(job, .joint, helpers: helpers) {
          finish(job, .joint)
        } else {
          job.work(fromTheFront: true)
        }
      }
    }
  }

  /// Makes the job known, unless there is one of its kind; starts and wakes as many workers as it needs.
  func post(_ job: Job, _ kind: Kind, helpers: Int) -> Bool {
    let wakes: Int? = board.withLock { board in
      guard board[kind] == nil else { return nil }
      board[kind] = job
      postings.wrappingAdd(1, ordering: .releasing)
      while board.workers < helpers {
        board.workers += 1
        startWorker()
      }
      let wakes = min(board.sleepers, helpers)
      board.sleepers -= wakes
      return wakes
    }
    guard let wakes else { return false }
    for _ in 0..<wakes { alarm.signal() }
    return true
  }

  /// Does what is left of a job that was posted, and returns when all of it is done.
  func finish(_ job: Job, _ kind: Kind) {
    job.work(fromTheFront: true)
    board.withLock { $0[kind] = nil }
    job.waitUntilLeft(patience: Self.callerPatience)
  }

  private func startWorker() {
    let thread = Thread { [self] in
      var seen = 0
      while true {
        seen = awaitPosting(after: seen)
        for kind in [Kind.aside, .joint] { board.withLock { $0[kind]?.enter() }?.workAndLeave() }
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
