/// Everything that keeps a state dict from being loaded, and the one error that tells it.
struct LoadProblems {
  /// A tensor of another shape or type than the model's.
  struct Mismatch {
    let expected: LoadPlan.Expected
    let shape: [Int]
    let dtype: DataType
  }

  var missing: [String] = []
  var unexpected: [String] = []
  var shapes: [Mismatch] = []
  var types: [Mismatch] = []

  /// The error in PyTorch's words, with the ways out, or nil where nothing is wrong.
  func error(
    model: String, expectedKeys: Set<String>, fileKeys: [String], unexpectedKeys: Set<String>
  ) -> StateError? {
    guard let (code, key) = first else { return nil }
    var lines: [String] = []
    if !missing.isEmpty { lines.append("Missing key(s) in state_dict: \(missing.quoted).") }
    if !unexpected.isEmpty { lines.append("Unexpected key(s) in state_dict: \(unexpected.quoted).") }
    lines += shapes.prefix(10).map {
      "size mismatch for \($0.expected.key): copying a param with shape \($0.shape) from checkpoint, "
        + "the shape in current model is \($0.expected.shape)."
    }
    lines += types.prefix(10).map {
      "dtype mismatch for \($0.expected.key): copying a param with dtype \($0.dtype) from checkpoint, "
        + "the dtype in current model is \($0.expected.dtype)."
    }
    let unlisted = max(0, shapes.count - 10) + max(0, types.count - 10)
    if unlisted > 0 { lines.append("\(unlisted) more mismatches.") }
    lines += waysOut(expectedKeys: expectedKeys, fileKeys: fileKeys, unexpectedKeys: unexpectedKeys)
    let message = "Error(s) in loading state_dict for \(model):\n\t" + lines.joined(separator: "\n\t")
    return StateError(code, message, key: key)
  }

  private var first: (StateError.Code, String)? {
    if let key = missing.first { return (.missingKeys, key) }
    if let key = unexpected.first { return (.unexpectedKeys, key) }
    if let mismatch = shapes.first { return (.shapeMismatch, mismatch.expected.key) }
    if let mismatch = types.first { return (.dtypeMismatch, mismatch.expected.key) }
    return nil
  }

  private func waysOut(
    expectedKeys: Set<String>, fileKeys: [String], unexpectedKeys: Set<String>
  ) -> [String] {
    var ways: [String] = []
    if let prefix = commonPrefix(of: fileKeys, leadingTo: expectedKeys) {
      return [
        "Keys in the file begin with \"\(prefix)\": load with strippingPrefix: \"\(prefix)\" (--strip-prefix \(prefix))."
      ]
    }
    for key in missing.prefix(10) {
      if let hint = closestKey(to: key, among: unexpectedKeys) {
        ways.append("\"\(key)\" is missing, the file has \"\(hint)\". Did you mean that one? Load with renaming.")
      }
    }
    if let stem = shapes.first(where: { $0.differsInInputChannelsOnly })?.expected.key {
      ways.append("To adapt a stem to its input channels, load with adapting: [\"\(stem.moduleName)\"].")
    }
    if let head = shapes.first(where: { !$0.differsInInputChannelsOnly })?.expected.key {
      ways.append("To keep the model's own values, load with replacing: [\"\(head.moduleName)\"].")
    }
    if !types.isEmpty { ways.append("To cast numbers to the model's type, load with casting: true.") }
    if ways.isEmpty, !missing.isEmpty { ways.append("To leave them as they are, load with ignoringMissing: true.") }
    if ways.isEmpty, !unexpected.isEmpty { ways.append("To pass over them, load with ignoringUnexpected: true.") }
    return ways
  }

  /// The prefix of the file's keys without which at least half of the model's keys are found.
  private func commonPrefix(of fileKeys: [String], leadingTo expectedKeys: Set<String>) -> String? {
    guard !missing.isEmpty,
      let key = fileKeys.first(where: { key in expectedKeys.contains { key.hasSuffix(".\($0)") } })
    else { return nil }
    for dot in key.indices where key[dot] == "." {
      let prefix = String(key[...dot])
      let found = fileKeys.count { $0.hasPrefix(prefix) && expectedKeys.contains(String($0.dropFirst(prefix.count))) }
      if found * 2 >= expectedKeys.count { return prefix }
    }
    return nil
  }
}

extension LoadProblems.Mismatch {
  /// Whether it is a convolution's weight that would fit with another number of input channels.
  fileprivate var differsInInputChannelsOnly: Bool {
    inputChannelsCanAdapt(from: shape, to: expected.shape)
  }
}

extension [String] {
  /// The first ten in quotes, as PyTorch lists keys, and how many more there are.
  fileprivate var quoted: String { map { "\"\($0)\"" }.firstTen }
}

extension String {
  /// The key without its last part.
  fileprivate var moduleName: String {
    lastIndex(of: ".").map { String(self[..<$0]) } ?? self
  }
}
