/// What loading a state dict did, key by key (the model's keys, unless said otherwise).
public struct LoadReport: Sendable, Equatable {
  /// A key that has another name in the file.
  public struct Renamed: Sendable, Equatable {
    /// The key in the file.
    public let from: String
    /// The key in the model.
    public let to: String
  }

  /// A tensor cast to the model's type.
  public struct Cast: Sendable, Equatable {
    /// The key.
    public let key: String
    /// The type in the file.
    public let from: DataType
    /// The type in the model.
    public let to: DataType
  }

  /// A tensor of another shape in the file than in the model.
  public struct Reshaped: Sendable, Equatable {
    /// The key.
    public let key: String
    /// The shape in the file.
    public let from: [Int]
    /// The shape in the model.
    public let to: [Int]
  }

  /// Keys that got the file's values, cast and adapted ones included.
  public internal(set) var loaded: [String] = []
  /// Keys left as they were because `replacing` names them.
  public internal(set) var replaced: [String] = []
  /// Keys the file lacks, left as they were because `ignoringMissing` is set.
  public internal(set) var missing: [String] = []
  /// Keys of the file that the model does not have, passed over because `ignoringUnexpected` is set.
  public internal(set) var unexpected: [String] = []
  /// Keys left as they were, of another shape or type in the file, because `skippingMismatched` is set.
  public internal(set) var mismatched: [String] = []
  /// Keys found under another name.
  public internal(set) var renamed: [Renamed] = []
  /// Tensors cast to the model's type.
  public internal(set) var cast: [Cast] = []
  /// Tensors adapted to the model's shape: stems by their input channels, counters of shape `[1]` to scalars.
  public internal(set) var adapted: [Reshaped] = []
  /// Counters the file lacks (`num_batches_tracked` in files older than PyTorch 0.4.1), set to 0.
  public internal(set) var zeroed: [String] = []
}

extension LoadReport: CustomStringConvertible {
  /// A line for each thing done, with counts and the first ten names.
  public var description: String {
    var lines = ["loaded \(loaded.count) tensors"]
    func add(_ what: String, _ names: [String]) {
      if !names.isEmpty { lines.append("\(what) (\(names.count)): \(names.firstTen)") }
    }
    add("replaced, left as in the model", replaced)
    add("adapted", adapted.map { "\($0.key) from \($0.from) to \($0.to)" })
    add("cast", cast.map { "\($0.key) from \($0.from) to \($0.to)" })
    add("renamed", renamed.map { "\($0.from) to \($0.to)" })
    add("not in the file, set to 0", zeroed)
    add("not in the file, left as in the model", missing)
    add("mismatched, left as in the model", mismatched)
    add("not in the model, passed over", unexpected)
    return lines.joined(separator: "\n")
  }
}

extension [String] {
  /// The first ten, and how many more there are.
  var firstTen: String {
    prefix(10).joined(separator: ", ") + (count > 10 ? " and \(count - 10) more" : "")
  }
}
