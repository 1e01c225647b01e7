import CKernels
import Foundation
import Synchronization

/// Tasks that are done together, each by whoever takes it first.
final class Job: Sendable {
  /// Looks before who waits for the last tasks lets other threads run.
  private static let patience = 20_000

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

  /// Whether all tasks are done; looked at under the lock under which workers enter.
  var isDone: Bool { taken.load(ordering: .relaxed) >= tasks && inside.load(ordering: .acquiring) == 0 }

  /// Counts the calling worker in, if there is a place left and something to do; called under a lock.
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

  /// Does what is left, and returns when all of it is done.
  func finish() {
    inside.wrappingAdd(1, ordering: .relaxed)
    work(fromTheFront: true)
    inside.wrappingSubtract(1, ordering: .releasing)
    waitUntilLeft()
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
  func waitUntilLeft() {
    var looks = 0
    while inside.load(ordering: .acquiring) > 0 {
      looks += 1
      if looks < Self.patience { rk_spin_pause() } else { sched_yield() }
    }
  }
}
