import Foundation
import Synchronization
import Testing

@testable import ResidualTensor

@Suite struct WorkerPoolTests {
  /// How often each task of a job was done.
  private func counts(tasks: Int, helpers: Int, pool: WorkerPool, inside: @escaping @Sendable (Int) -> Void = { _ in })
    -> [Int]
  {
    let done = Mutex([Int](repeating: 0, count: tasks))
    pool.run(tasks, helpers: helpers) { task in
      inside(task)
      done.withLock { $0[task] += 1 }
    }
    return done.withLock { $0 }
  }

  @Test(arguments: [0, 1, 2, 7]) func doesEveryTaskOnce(helpers: Int) {
    let pool = WorkerPool()
    for tasks in [1, 2, 3, 100, 1000] {
      #expect(counts(tasks: tasks, helpers: helpers, pool: pool) == [Int](repeating: 1, count: tasks))
    }
  }

  @Test func wakesWorkersThatSleep() {
    let pool = WorkerPool()
    for _ in 0..<3 {
      // Two tasks that wait for each other need two threads.
      let arrived = Atomic<Int>(0)
      pool.run(2, helpers: 1) { _ in
        arrived.wrappingAdd(1, ordering: .relaxed)
        while arrived.load(ordering: .relaxed) < 2 { usleep(10) }
      }
      usleep(50_000)  // long enough for a worker to lose its patience
    }
  }

  @Test func aTaskMayHandOutTasks() {
    let pool = WorkerPool()
    let total = Atomic<Int>(0)
    pool.run(8, helpers: 2) { _ in
      pool.run(100, helpers: 2) { total.wrappingAdd($0, ordering: .relaxed) }
    }
    #expect(total.load(ordering: .relaxed) == 8 * 4950)
  }

  @Test func servesManyCallersAtOnce() async {
    let pool = WorkerPool()
    await withTaskGroup(of: [Int].self) { group in
      for _ in 0..<8 {
        group.addTask { (0..<50).flatMap { _ in counts(tasks: 20, helpers: 2, pool: pool) } }
      }
      for await counts in group { #expect(counts == [Int](repeating: 1, count: 1000)) }
    }
  }

  @Test func theCallerBeginsWithTheFirstTasksAndWorkersWithTheLast() {
    let pool = WorkerPool()
    let caller = pthread_self()
    for tasks in [2, 3, 64] {
      let order = Mutex<[(isCallers: Bool, task: Int)]>([])
      pool.run(tasks, helpers: 1) { task in
        order.withLock { $0.append((pthread_equal(pthread_self(), caller) != 0, task)) }
        usleep(100)
      }
      let callers = order.withLock { $0.filter(\.isCallers).map(\.task) }
      let workers = order.withLock { $0.filter { !$0.isCallers }.map(\.task) }
      #expect(callers == Array(0..<callers.count))
      #expect(workers == Array((callers.count..<tasks).reversed()))
    }
  }

  @Test func doesWorkAsideOnOneWorkerWhileJobsGoOn() {
    let pool = WorkerPool()
    let aside = AsideWork(pool: pool)
    for helpers in [1, 3] {
      let done = Mutex([Int](repeating: 0, count: 200))
      let inside = Atomic<Int>(0)
      let most = Atomic<Int>(0)
      for start in [0, 100] {
        let isPosted = aside.post(100) { task in
          most.max(inside.wrappingAdd(1, ordering: .relaxed).newValue, ordering: .relaxed)
          usleep(50)
          done.withLock { $0[start + task] += 1 }
          inside.wrappingSubtract(1, ordering: .relaxed)
        }
        #expect(isPosted)
        for _ in 0..<20 {
          #expect(counts(tasks: 10, helpers: helpers, pool: pool) == [Int](repeating: 1, count: 10))
        }
      }
      aside.finish()
      #expect(done.withLock { $0 } == [Int](repeating: 1, count: 200))
      // The worker, and whoever waits for it.
      #expect(most.load(ordering: .relaxed) <= 2)
    }
  }

  @Test func oneCallersWorkIsDoneAsideAtATime() {
    let pool = WorkerPool()
    let (first, second) = (AsideWork(pool: pool), AsideWork(pool: pool))
    let firstIsPosted = first.post(1) { _ in }
    let secondIsPosted = second.post(1) { _ in Issue.record("was not handed out") }
    #expect(firstIsPosted && !secondIsPosted)
    first.finish()
    let isPostedNow = second.post(1) { _ in }
    #expect(isPostedNow)
    second.finish()
  }

  @Test func letsGoOfWorkThatIsDone() {
    final class Witness {}
    let aside = AsideWork(pool: WorkerPool())
    var witness: Witness? = Witness()
    weak let seen = witness
    let isPosted = aside.post(3) { [witness] _ in _ = witness }
    witness = nil
    #expect(isPosted)
    #expect(seen != nil)
    aside.finish()
    #expect(seen == nil)
  }
}
