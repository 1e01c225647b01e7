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
}
