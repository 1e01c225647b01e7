import Synchronization

/// Remembers from which state each generator was drawn, so that a computation can draw the same numbers again.
final class GeneratorJournal: Sendable {
  @TaskLocal static var current: GeneratorJournal?

  private typealias Entry = (generator: Generator, state: Generator.State)

  private let entries = Mutex<[ObjectIdentifier: Entry]>([:])

  /// Runs `body` and notes the state of every generator before its first draw.
  func record<Result>(_ body: () -> Result) -> Result {
    Self.$current.withValue(self, operation: body)
  }

  /// Runs `body` with the generators in the states noted, then gives each the state back that it had.
  func replay<Result>(_ body: () -> Result) -> Result {
    let noted = entries.withLock { Array($0.values) }
    let states = noted.map(\.generator.state)
    for (generator, state) in noted { generator.state = state }
    defer { for (entry, state) in zip(noted, states) { entry.generator.state = state } }
    return body()
  }

  /// Called by a generator that is about to change.
  func note(_ generator: Generator, _ state: Generator.State) {
    entries.withLock { entries in
      let key = ObjectIdentifier(generator)
      if entries[key] == nil { entries[key] = (generator, state) }
    }
  }
}
