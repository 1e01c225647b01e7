import Dispatch
import Foundation
import Synchronization
import Testing

@testable import ResidualTensor

/// The switch is the whole process's: these tests run in processes of their own.
@Suite("Threads")
struct ThreadsTests {
  /// A product that is a denormal number, as each thread computes it that takes part in `run` with eight tasks.
  ///
  /// Every task waits until there are as many threads as processors, at most eight; or a long time.
  private static func products(_ run: ((Int) -> Void) -> Void) -> [Float] {
    let factors = Storage(repeating: 1e-20, count: 2)  // from memory, so that the product is taken where it stands
    let wanted = min(8, ProcessInfo.processInfo.activeProcessorCount)
    let products = Mutex<[UInt: Float]>([:])
    run { _ in
      let product = factors.pointer[0] * factors.pointer[1]
      products.withLock { $0[UInt(pthread_self())] = product }
      let deadline = ContinuousClock.now + .seconds(20)
      while products.withLock({ $0.count }) < wanted && ContinuousClock.now < deadline { sched_yield() }
    }
    let found = products.withLock { Array($0.values) }
    #expect(found.count >= wanted, "\(found.count) threads of \(wanted) took part")
    return found
  }

  @Test("Denormal numbers count as zero on every thread, unless switched off")
  func denormals() async {
    await #expect(processExitsWith: .success) {
      Threads.count = 8
      #expect(Threads.flushesDenormals)
      #expect(Self.products { Threads.run(8, $0) }.allSatisfy { $0 == 0 })
      Threads.flushesDenormals = false
      #expect(Self.products { Threads.run(8, $0) }.allSatisfy { $0 > 0 && $0.isSubnormal })
      Threads.flushesDenormals = true
      #expect(Self.products { Threads.run(8, $0) }.allSatisfy { $0 == 0 })
    }
  }

  @Test("Threads have their own mode back when the kernels are done")
  func modeIsRestored() async {
    await #expect(processExitsWith: .success) {
      Threads.count = 8
      #expect(Self.products { Threads.run(8, $0) }.allSatisfy { $0 == 0 })
      let after = Self.products { body in
        withoutActuallyEscaping(body) { body in
          nonisolated(unsafe) let body = body
          DispatchQueue.concurrentPerform(iterations: 8) { body($0) }
        }
      }
      #expect(after.allSatisfy { $0.isSubnormal })
    }
  }

  @Test("One thread flushes as many do")
  func oneThread() async {
    await #expect(processExitsWith: .success) {
      Threads.count = 1
      let factors = Storage(repeating: 1e-20, count: 2)
      var product: Float = -1
      Threads.run(2) { _ in product = factors.pointer[0] * factors.pointer[1] }
      #expect(product == 0)
      #expect((factors.pointer[0] * factors.pointer[1]).isSubnormal)
    }
  }
}
