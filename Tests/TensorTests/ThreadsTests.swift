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

  @Test("How far processors are from each other takes two of them to tell")
  func processorDistance() async {
    await #expect(processExitsWith: .success) {
      Threads.count = 1
      #expect(ProcessorDistance.measureNanoseconds() == nil)
      Threads.count = 2
      #expect(ProcessorDistance.measureNanoseconds().map { $0 > 0 } != false)
      // Who is busy has nobody to exchange anything with.
      Threads.run(2) { _ in #expect(ProcessorDistance.measureNanoseconds() == nil) }
    }
  }

  @Test("What is handed out aside is done at once, or when the scope ends", arguments: [1, 2])
  func workAside(threads: Int) async {
    await #expect(processExitsWith: .success) { [threads] in
      Threads.count = threads
      let done = Mutex<[Int]>([])
      Threads.runAside(3) { task in done.withLock { $0.append(task) } }
      #expect(Set(done.withLock { $0 }) == [0, 1, 2])
      Threads.withWorkAside {
        for start in [3, 6] { Threads.runAside(3) { task in done.withLock { $0.append(start + task) } } }
        // Within it the scope is the caller's own, too.
        Threads.withWorkAside { Threads.runAside(1) { _ in done.withLock { $0.append(9) } } }
        #expect(done.withLock { $0.contains(9) })
      }
      #expect(done.withLock { $0.sorted() } == Array(0...9))
    }
  }

  @Test("What a task hands out aside is done at once, also where the caller does the task", arguments: [1, 2])
  func tasksHandOutWork(threads: Int) async {
    await #expect(processExitsWith: .success) { [threads] in
      Threads.count = threads
      let done = Atomic<Int>(0)
      Threads.withWorkAside {
        for _ in 0..<20 {
          Threads.runAside(4) { _ in
            let before = done.load(ordering: .relaxed)
            Threads.runAside(2) { _ in done.wrappingAdd(1, ordering: .relaxed) }
            #expect(done.load(ordering: .relaxed) >= before + 2)
          }
        }
        Threads.finishAside()
        #expect(done.load(ordering: .relaxed) == 160)
      }
    }
  }

  /// Results and gradients of a 3x3 convolution.
  private static func convolve(_ precision: Precision, _ shape: [Int]) -> [[Float]] {
    let elements = { (count: Int) in (0..<count).map { Float($0 * 7919 % 255) / 255 - 0.5 } }
    let channels = shape[1]
    return withPrecision(precision) {
      let x = Tensor(elements(shape.reduce(1, *)), shape: shape).requiringGrad()
      let weight = Tensor(elements(channels * channels * 9), shape: [channels, channels, 3, 3]).requiringGrad()
      let y = conv2d(x, weight: weight, options: ConvolutionOptions(padding: 1))
      y.backward(y.detached())
      return [y.scalars, x.grad?.scalars ?? [], weight.grad?.scalars ?? []]
    }
  }

  /// Darwin gives secondary threads that much, and a caller's thread takes part in the work.
  @Test(
    "Convolutions need no more than half a megabyte of stack", arguments: Precision.allCases.map(\.rawValue),
    [[2, 128, 14, 14], [64, 256, 2, 2], [3, 30, 3, 2]])
  func smallStack(precision: String, shape: [Int]) async {
    await #expect(processExitsWith: .success) { [precision, shape] in
      Threads.count = 1
      let precision = try #require(Precision(rawValue: precision))
      let done = DispatchSemaphore(value: 0)
      let result = Mutex<[[Float]]>([])
      let thread = Thread {
        let found = Self.convolve(precision, shape)
        result.withLock { $0 = found }
        done.signal()
      }
      thread.stackSize = 512 << 10
      thread.start()
      done.wait()
      #expect(result.withLock { $0 } == Self.convolve(precision, shape))
    }
  }
}
