/// What two state dicts do not share.
public struct StateDictDifference: Sendable {
  /// A key whose tensors differ.
  public struct Change: Sendable {
    /// The key.
    public let key: String
    /// How they differ, in words: shape, type or the largest absolute difference.
    public let description: String
  }

  /// Keys of the first that the second lacks.
  public let missing: [String]
  /// Keys of the second that the first lacks.
  public let unexpected: [String]
  /// Keys of both whose tensors differ.
  public let changes: [Change]
  /// Keys whose tensors are equal to the last bit.
  public let equal: Int

  /// Compares two state dicts key by key.
  public init(_ first: StateDict, _ second: StateDict) {
    missing = first.keys.filter { second[$0] == nil }
    unexpected = second.keys.filter { first[$0] == nil }
    var changes: [Change] = []
    var equal = 0
    for (key, a) in first {
      guard let b = second[key] else { continue }
      if a == b {
        equal += 1
      } else {
        changes.append(Change(key: key, description: Self.describe(a, b)))
      }
    }
    self.changes = changes
    self.equal = equal
  }

  /// Whether there is nothing to tell.
  public var isEmpty: Bool { missing.isEmpty && unexpected.isEmpty && changes.isEmpty }

  private static func describe(_ a: TensorData, _ b: TensorData) -> String {
    if a.shape != b.shape { return "shape \(a.shape) and \(b.shape)" }
    let types = a.dtype == b.dtype ? "" : "type \(a.dtype.rawValue) and \(b.dtype.rawValue), "
    let pairs = zip(a.scalars(as: Double.self), b.scalars(as: Double.self))
    // Equal NaNs and infinities have no difference, others an infinite one.
    let largest = pairs.reduce(0.0) { largest, pair in
      let (x, y) = pair
      if x == y || (x.isNaN && y.isNaN) { return largest }
      let distance = abs(x - y)
      return max(largest, distance.isNaN ? .infinity : distance)
    }
    return "\(types)largest difference \(largest)"
  }
}

extension StateDictDifference: CustomStringConvertible {
  /// A line for each key that differs, and a summary.
  public var description: String {
    let lines =
      missing.map { "only in the first: \($0)" } + unexpected.map { "only in the second: \($0)" }
      + changes.map { "\($0.key): \($0.description)" }
    let summary =
      "\(equal) equal, \(changes.count) different, \(missing.count) only in the first, \(unexpected.count) only in the second"
    return (lines + [summary]).joined(separator: "\n")
  }
}
