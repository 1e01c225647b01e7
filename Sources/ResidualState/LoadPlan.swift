/// What goes where when a state dict is loaded into a model: everything is checked before anything is written.
///
/// Making a plan throws or succeeds as a whole and touches no model; committing it is copying the tensors in
/// ``entries`` to their places, which cannot fail.
///
/// ```swift
/// let plan = try LoadPlan(for: expected, from: stateDict, options: options, model: "ResNet")
/// for entry in plan.entries {
///   if let tensor = entry.tensor { copy(tensor, into: entry.key) }
/// }
/// return plan.report
/// ```
public struct LoadPlan: Sendable {
  /// A tensor the model has.
  public struct Expected: Sendable, Equatable {
    /// The key, as PyTorch names it.
    public let key: String
    /// The shape, as PyTorch has it.
    public let shape: [Int]
    /// The element type.
    public let dtype: DataType
    /// Whether it counts as 0 where the file lacks it, as `num_batches_tracked` does.
    public let isOptionalCounter: Bool

    /// Describes a tensor of the model.
    public init(key: String, shape: [Int], dtype: DataType, isOptionalCounter: Bool = false) {
      self.key = key
      self.shape = shape
      self.dtype = dtype
      self.isOptionalCounter = isOptionalCounter
    }
  }

  /// A tensor of the model and what it gets.
  public struct Entry: Sendable {
    /// The model's key.
    public let key: String
    /// The tensor to copy, of the model's shape and type; nil leaves the model's as it is.
    public let tensor: TensorData?
  }

  /// One entry for each tensor of the model, in the model's order.
  public let entries: [Entry]
  /// What committing the plan does.
  public let report: LoadReport

  /// Plans loading `stateDict` into a model that has the tensors `expected`.
  ///
  /// Throws a ``StateError`` that names every missing key, unexpected key, shape and type in PyTorch's words, under
  /// the name `model`, unless `options` lets them pass. The same checks as `load_state_dict` in PyTorch, and types.
  public init(
    for expected: [Expected], from stateDict: StateDict, options: LoadOptions = .strict, model: String
  ) throws(StateError) {
    var planner = try LoadPlanner(expected: expected, stateDict: stateDict, options: options, model: model)
    entries = expected.map { Entry(key: $0.key, tensor: planner.tensor(for: $0)) }
    report = try planner.finish()
  }
}

/// Walks the model's keys once, collecting what to copy, what to report and what is wrong.
private struct LoadPlanner {
  let options: LoadOptions
  let model: String
  let expectedKeys: Set<String>
  let candidates: StateDict
  let originalNames: [String: String]
  var report = LoadReport()
  var problems = LoadProblems()

  init(
    expected: [LoadPlan.Expected], stateDict: StateDict, options: LoadOptions, model: String
  ) throws(StateError) {
    self.options = options
    self.model = model
    expectedKeys = Set(expected.map(\.key))
    (candidates, originalNames) = try Self.rename(stateDict, options)
    for (option, names) in [("replacing", options.replacing), ("adapting", options.adapting)] {
      for name in names where !expected.contains(where: { $0.key.isUnder(name) }) {
        let hint = closestKey(to: name, among: Set(expected.flatMap { modulePaths(of: $0.key) }))
        throw StateError(
          .invalidOptions,
          "\(option) names \"\(name)\", but no key of \(model) is that or begins with \"\(name).\""
            + (hint.map { ". Did you mean \"\($0)\"?" } ?? ""), key: name)
      }
    }
  }

  /// The tensor the model's key gets, nil to leave it.
  mutating func tensor(for expected: LoadPlan.Expected) -> TensorData? {
    if options.replacing.contains(where: { expected.key.isUnder($0) }) {
      report.replaced.append(expected.key)
      return nil
    }
    guard let found = candidates[expected.key] else { return absent(expected) }
    guard let shaped = fit(found, to: expected) else {
      return mismatched(expected, found, \.shapes)
    }
    guard let cast = cast(shaped, to: expected) else {
      return mismatched(expected, found, \.types)
    }
    if let original = originalNames[expected.key] {
      report.renamed.append(.init(from: original, to: expected.key))
    }
    if found.shape != expected.shape {
      report.adapted.append(.init(key: expected.key, from: found.shape, to: expected.shape))
    }
    if found.dtype != expected.dtype {
      report.cast.append(.init(key: expected.key, from: found.dtype, to: expected.dtype))
    }
    report.loaded.append(expected.key)
    return cast
  }

  /// The report, or the error that names everything wrong.
  mutating func finish() throws(StateError) -> LoadReport {
    let unexpected = candidates.keys.filter { key in
      !expectedKeys.contains(key) && !options.replacing.contains { key.isUnder($0) }
    }
    if options.ignoringUnexpected {
      report.unexpected = unexpected
    } else {
      problems.unexpected = unexpected
    }
    if let error = problems.error(
      model: model, expectedKeys: expectedKeys, fileKeys: candidates.keys, unexpectedKeys: Set(unexpected))
    {
      throw error
    }
    return report
  }

  private mutating func absent(_ expected: LoadPlan.Expected) -> TensorData? {
    if expected.isOptionalCounter {
      report.zeroed.append(expected.key)
      return TensorData(dtype: expected.dtype, shape: expected.shape) {
        $0.initializeMemory(as: UInt8.self, repeating: 0)
      }
    }
    if options.ignoringMissing {
      report.missing.append(expected.key)
    } else {
      problems.missing.append(expected.key)
    }
    return nil
  }

  private mutating func mismatched(
    _ expected: LoadPlan.Expected, _ found: TensorData, _ list: WritableKeyPath<LoadProblems, [LoadProblems.Mismatch]>
  ) -> TensorData? {
    if options.skippingMismatched {
      report.mismatched.append(expected.key)
    } else {
      problems[keyPath: list].append(.init(expected: expected, shape: found.shape, dtype: found.dtype))
    }
    return nil
  }

  /// The tensor under the model's shape, nil where nothing allows it.
  private func fit(_ found: TensorData, to expected: LoadPlan.Expected) -> TensorData? {
    if found.shape == expected.shape { return found }
    if expected.isOptionalCounter, found.count == 1, expected.shape.isEmpty { return found.reshaped([]) }
    guard options.adapting.contains(where: { expected.key == "\($0).weight" }) else { return nil }
    return found.adaptingInputChannels(to: expected.shape)
  }

  /// The tensor in the model's type, nil where nothing allows it.
  private func cast(_ found: TensorData, to expected: LoadPlan.Expected) -> TensorData? {
    if found.dtype == expected.dtype { return found }
    guard options.casting, found.dtype.isFloatingPoint == expected.dtype.isFloatingPoint else { return nil }
    return found.converted(to: expected.dtype)
  }

  /// The tensors under the model's names, and the file's names where they differ.
  private static func rename(
    _ stateDict: StateDict, _ options: LoadOptions
  ) throws(StateError) -> (StateDict, [String: String]) {
    var renamed = StateDict()
    var originals: [String: String] = [:]
    for (original, tensor) in stateDict {
      var key = original
      if let prefix = options.strippingPrefix, key.hasPrefix(prefix) { key.removeFirst(prefix.count) }
      if let rename = options.renaming { key = rename(key) }
      guard renamed[key] == nil else {
        throw StateError(
          .invalidOptions,
          "renaming gives both \"\(originals[key] ?? key)\" and \"\(original)\" the name \"\(key)\"", key: key)
      }
      renamed[key] = tensor
      if key != original { originals[key] = original }
    }
    return (renamed, originals)
  }
}

/// The paths of the modules that own a key, the key itself included: `a.b.c` gives `a`, `a.b`, `a.b.c`.
private func modulePaths(of key: String) -> [String] {
  let parts = key.split(separator: ".", omittingEmptySubsequences: false)
  return parts.indices.map { parts[...$0].joined(separator: ".") }
}

extension String {
  /// Whether the key is that name or belongs to the module of that name.
  fileprivate func isUnder(_ name: String) -> Bool {
    self == name || hasPrefix(name.hasSuffix(".") ? name : name + ".")
  }
}
