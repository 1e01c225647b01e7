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

  @Test(arguments: [1, 3]) func doesPiecesAsideOneAfterTheOtherWhileJobsGoOn(helpers: Int) throws {
    let pool = WorkerPool()
    let aside = try #require(pool.beginWorkAside())
    let done = Mutex([Int](repeating: 0, count: 400))
    let inside = Atomic<Int>(0)
    let most = Atomic<Int>(0)
    for start in stride(from: 0, to: 400, by: 100) {
      aside.post(100, helpers: helpers) { task in
        most.max(inside.wrappingAdd(1, ordering: .relaxed).newValue, ordering: .relaxed)
        usleep(50)
        done.withLock { done in
          #expect(done[..<start].allSatisfy { $0 == 1 })
          done[start + task] += 1
        }
        inside.wrappingSubtract(1, ordering: .relaxed)
      }
      for _ in 0..<20 {
        #expect(counts(tasks: 10, helpers: 3, pool: pool) == [Int](repeating: 1, count: 10))
      }
    }
    pool.end(aside)
    #expect(done.withLock { $0 } == [Int](repeating: 1, count: 400))
    // The workers, and whoever waits for them.
    #expect(most.load(ordering: .relaxed) <= helpers + 1)
  }

  @Test func oneCallersWorkIsDoneAsideAtATime() throws {
    let pool = WorkerPool()
    let first = try #require(pool.beginWorkAside())
    #expect(pool.beginWorkAside() == nil)
    pool.end(first)
    let second = try #require(pool.beginWorkAside())
    pool.end(second)
  }

  @Test("As many pieces wait as there is room for, and those that are let go of are done")
  func room() throws {
    final class Witness {}
    let pool = WorkerPool()
    let aside = try #require(pool.beginWorkAside())
    var pieces: [() -> Witness?] = []
    let done = Atomic<Int>(0)
    for count in 1...5 {
      var witness: Witness? = Witness()
      pieces.append { [weak witness] in witness }
      aside.post(3, helpers: 1) { [witness] _ in
        _ = witness
        usleep(100)
        done.wrappingAdd(1, ordering: .relaxed)
      }
      witness = nil
      let kept = min(count, AsideWork.room)
      #expect(pieces.map { $0() != nil } == (1...count).map { $0 > count - kept })
      #expect(done.load(ordering: .relaxed) >= 3 * (count - kept))
    }
    aside.finish()
    #expect(pieces.allSatisfy { $0() == nil })
    #expect(done.load(ordering: .relaxed) == 15)
    pool.end(aside)
  }
}
