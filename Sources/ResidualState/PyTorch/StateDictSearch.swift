/// Finds the state dict in what a checkpoint holds: the root itself, or one dict in it such as `state_dict` or `model`.
struct StateDictSearch {
  /// An entry of a state dict.
  struct Entry {
    let key: String
    let tensor: Int
  }

  /// Where it was found, nil for the root.
  private(set) var place: String?
  private(set) var entries: [Entry] = []
  /// What is no tensor and was passed over, in words.
  private(set) var skipped: [String] = []

  private let graph: PickleGraph
  private let path: String

  /// Names that training scripts give the state dict, as opposed to averages or other networks beside it.
  private static let usualNames: Set = ["state_dict", "model_state_dict", "model", "net", "network", "weights"]

  /// Searches `graph` at the root's key `wanted`, or wherever there is but one candidate.
  init(_ graph: PickleGraph, at wanted: String?, path: String) throws(StateError) {
    self.graph = graph
    self.path = path
    guard case .dictionary(let rootItems, _) = graph[graph.root] else {
      throw StateError(
        .wrongFormat,
        "the file holds a \(graph[graph.root].kind) and not a state dict: save model.state_dict() with "
          + "torch.save", path: path)
    }
    let (items, name) = try choose(try members(of: rootItems), wanted)
    place = name
    for (key, value) in items {
      if case .tensor(let tensor) = graph[value] {
        entries.append(Entry(key: key, tensor: tensor))
      } else {
        skipped.append("\(key) (\(graph[value].kind))")
      }
    }
    if name != nil {
      skipped += try members(of: rootItems).filter { $0.key != name }.map { "\($0.key) (\(graph[$0.value].kind))" }
    }
  }

  /// The values under keys that are strings; each key once.
  private func members(
    of items: [PickleGraph.Reference]
  ) throws(StateError) -> [(key: String, value: PickleGraph.Reference)] {
    var seen: Set<String> = []
    var members: [(key: String, value: PickleGraph.Reference)] = []
    for index in stride(from: 0, to: items.count, by: 2) {
      guard case .string(let key) = graph[items[index]] else { continue }
      guard seen.insert(key).inserted else {
        throw StateError(.corrupt, "the file holds \"\(key)\" twice", key: key, path: path)
      }
      members.append((key, items[index + 1]))
    }
    return members
  }

  private func choose(
    _ root: [(key: String, value: PickleGraph.Reference)], _ wanted: String?
  ) throws(StateError) -> ([(key: String, value: PickleGraph.Reference)], String?) {
    var candidates: [(name: String, items: [PickleGraph.Reference])] = []
    var answers: [PickleGraph.Reference: Bool] = [:]
    for (name, value) in root {
      guard case .dictionary(let items, _) = graph[value] else { continue }
      let isCandidate = wanted.map { $0 == name } ?? answers[value] ?? holdsTensors(items)
      answers[value] = isCandidate
      if isCandidate { candidates.append((name, items)) }
    }
    if let wanted {
      guard let found = candidates.first else {
        throw StateError(
          .notFound, "there is no dict \"\(wanted)\" in the file, which holds \(root.map(\.key).firstTen)", key: wanted,
          path: path)
      }
      return (try members(of: found.items), wanted)
    }
    let rootHoldsTensors = root.contains { if case .tensor = graph[$0.value] { true } else { false } }
    let usual = candidates.filter { Self.usualNames.contains($0.name) }
    if rootHoldsTensors && usual.isEmpty || root.isEmpty { return (root, nil) }
    if !rootHoldsTensors, let only = candidates.count == 1 ? candidates.first : usual.count == 1 ? usual.first : nil {
      return (try members(of: only.items), only.name)
    }
    if candidates.isEmpty {
      throw StateError(
        .wrongFormat,
        "the file holds no tensors under names, only \(root.map { "\($0.key) (\(graph[$0.value].kind))" }.firstTen)"
          + ": save model.state_dict() with torch.save", path: path)
    }
    throw StateError(
      .invalidOptions,
      "the file holds several state dicts: \(candidates.map(\.name).firstTen)"
        + (rootHoldsTensors ? ", and tensors beside them" : "") + "; say which, as in StateDict(pyTorch: path, at: "
        + "\"\(candidates[0].name)\")", path: path)
  }

  private func holdsTensors(_ items: [PickleGraph.Reference]) -> Bool {
    stride(from: 0, to: items.count, by: 2).contains { index in
      if case .string = graph[items[index]], case .tensor = graph[items[index + 1]] { true } else { false }
    }
  }
}
