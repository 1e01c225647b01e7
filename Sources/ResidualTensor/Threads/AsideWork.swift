import Synchronization

/// Work that some threads of a pool do beside its jobs, in pieces, each of which begins when the one before is done.
final class AsideWork: Sendable {
  /// Pieces that are handed out and not let go of yet, at most: what they keep alive takes memory, and leaves the cache
  /// before the next piece comes to it where there is more of it.
  static let room = 2

  // Sendable: whoever hands out tasks looks at nothing that they write before they are done.
  private struct Piece: @unchecked Sendable {
    let job: Job
    let body: UnsafeMutablePointer<(Int) -> Void>
  }

  private let pool: WorkerPool
  private let pieces = Mutex<[Piece]>([])

  init(pool: WorkerPool) { self.pool = pool }

  /// Hands out `body` for each task number below `tasks`, to up to `helpers` threads; first does what is left of the oldest
  /// piece where there is no room.
  ///
  /// The caller lets go of pieces, and how many there are does not depend on the threads: nor does the memory in use.
  func post(_ tasks: Int, helpers: Int, _ body: @escaping (Int) -> Void) {
    while pieces.withLock({ $0.count }) >= Self.room { finishOldest() }
    let pointer = UnsafeMutablePointer<(Int) -> Void>.allocate(capacity: 1)
    pointer.initialize(to: body)
    let piece = Piece(job: Job(tasks: tasks, places: helpers, pointer), body: pointer)
    pieces.withLock { $0.append(piece) }
    pool.announce(helpers: helpers)
  }

  /// Returns when all that was handed out is done, and lets go of it.
  func finish() {
    while finishOldest() {}
  }

  /// Counts the calling worker in, if there is something to do.
  func enter() -> Job? {
    pieces.withLock { pieces in pieces.first { !$0.job.isDone }?.job.enter() }
  }

  @discardableResult
  private func finishOldest() -> Bool {
    guard let piece = pieces.withLock({ $0.first }) else { return false }
    // What a task hands out itself, it does at once.
    Threads.$aside.withValue(nil) { piece.job.finish() }
    pieces.withLock { _ = $0.removeFirst() }
    piece.body.deinitialize(count: 1)
    piece.body.deallocate()
    return true
  }
}
