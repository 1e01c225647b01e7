import Synchronization

/// Work that one thread does beside the jobs of a pool, one piece after the other.
final class AsideWork: Sendable {
  // Sendable: whoever hands out tasks looks at nothing that they write before they are done.
  private struct Piece: @unchecked Sendable {
    let job: Job
    let body: UnsafeMutablePointer<(Int) -> Void>
  }

  private let pool: WorkerPool
  private let posted = Mutex<Piece?>(nil)

  init(pool: WorkerPool) { self.pool = pool }

  /// Finishes the piece before and hands out `body` for each task number below `tasks`; false, and nothing handed out,
  /// where the pool does somebody else's work.
  func post(_ tasks: Int, _ body: @escaping (Int) -> Void) -> Bool {
    finish()
    let pointer = UnsafeMutablePointer<(Int) -> Void>.allocate(capacity: 1)
    pointer.initialize(to: body)
    let piece = Piece(job: Job(tasks: tasks, places: 1, pointer), body: pointer)
    guard pool.post(piece.job, .aside, helpers: 1) else {
      release(piece)
      return false
    }
    posted.withLock { $0 = piece }
    return true
  }

  /// Returns when what was handed out is done, and lets go of it.
  func finish() {
    guard let piece = posted.withLock({ $0.take() }) else { return }
    pool.finish(piece.job, .aside)
    release(piece)
  }

  private func release(_ piece: Piece) {
    piece.body.deinitialize(count: 1)
    piece.body.deallocate()
  }
}
