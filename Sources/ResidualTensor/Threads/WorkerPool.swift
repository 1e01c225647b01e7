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

  private struct Board {
    var job: Job?
    /// What one worker does before it looks for a job.
    var aside: Job?
    var workers = 0
    var sleepers = 0
  }

  /// Runs `body` for each task number below `tasks` on the calling thread and up to `helpers` others.
  ///
  /// One job runs at a time: a caller that finds the pool busy, also one inside a task, does all its tasks by itself.
  func run(_ tasks: Int, helpers: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        let job = Job(tasks: tasks, places: helpers, body)
        let posted = post(job, helpers: helpers)
        job.work(fromTheFront: true)
        guard posted else { return }
        board.withLock { $0.job = nil }
        job.waitUntilLeft(patience: Self.callerPatience)
      }
    }
  }

  /// Has one worker do the job before other jobs that are handed out, unless another is done so already.
  func postAside(_ job: Job) -> Bool { post(job, helpers: 1, aside: true) }

  /// Does what is left of such a job and returns when all of it is done.
  func finishAside(_ job: Job) {
    job.work(fromTheFront: true)
    board.withLock { $0.aside = nil }
    job.waitUntilLeft(patience: Self.callerPatience)
  }

  /// Makes the job known, unless there is one; starts and wakes as many workers as it needs.
  private func post(_ job: Job, helpers: Int, aside: Bool = false) -> Bool {
    let wakes: Int? = board.withLock { board in
      guard (aside ? board.aside : board.job) == nil else { return nil }
      if aside { board.aside = job } else { board.job = job }
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

  private func startWorker() {
    let thread = Thread { [self] in
      var seen = 0
      while true {
        seen = awaitPosting(after: seen)
        if let aside = board.withLock({ $0.aside?.enter() }) { aside.workAndLeave() }
        if let job = board.withLock({ $0.job?.enter() }) { job.workAndLeave() }
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

/// Tasks that are done together, each by whoever takes it first.
final class Job: Sendable {
  private let tasks: Int
  // Unsafe by the compiler's lights, safe by contract: tasks write to disjoint places, and the caller outlives them. A
  // pointer, for a worker may let go of the job after the caller has returned.
  private nonisolated(unsafe) let body: UnsafePointer<(Int) -> Void>
  private let flushesDenormals = Threads.flushesDenormals
  private let taken = Atomic<Int>(0)
  private let takenFromTheBack = Atomic<Int>(0)
  private let places: Atomic<Int>
  private let inside = Atomic<Int>(0)

  init(tasks: Int, places: Int, _ body: UnsafePointer<(Int) -> Void>) {
    self.tasks = tasks
    self.body = body
    self.places = Atomic(places)
  }

  /// Counts the calling worker in, if there is a place left and something to do; called under the board's lock.
  func enter() -> Job? {
    guard places.load(ordering: .relaxed) > 0, taken.load(ordering: .relaxed) < tasks else { return nil }
    places.wrappingSubtract(1, ordering: .relaxed)
    inside.wrappingAdd(1, ordering: .relaxed)
    return self
  }

  /// What a worker does that has entered.
  func workAndLeave() {
    work(fromTheFront: false)
    inside.wrappingSubtract(1, ordering: .releasing)
  }

  /// Does tasks until none is left.
  ///
  /// The caller begins with the first, workers with the last: of one job's tasks and the next one's, a thread takes those
  /// that are about the same memory, as a rule, which its cache has.
  func work(fromTheFront: Bool) {
    let mode = rk_denormals_flush(flushesDenormals)
    var front = 0
    while taken.wrappingAdd(1, ordering: .relaxed).oldValue < tasks {
      if fromTheFront {
        body.pointee(front)
        front += 1
      } else {
        body.pointee(tasks - takenFromTheBack.wrappingAdd(1, ordering: .relaxed).newValue)
      }
    }
    rk_denormals_restore(mode)
  }

  /// Returns when all workers that entered have left.
  func waitUntilLeft(patience: Int) {
    var looks = 0
    while inside.load(ordering: .acquiring) > 0 {
      looks += 1
      if looks < patience { rk_spin_pause() } else { sched_yield() }
    }
  }
}
