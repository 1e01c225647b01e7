/// Files of PyTorch, read and written without Python: both formats of `torch.save`.
///
/// Reading never runs anything: a pickle that names more of Python than tensors and plain values need is refused by
/// that name. See ``StateDict`` for reading just the weights.
public enum PyTorchFile {
  /// Reads all a file holds, as `torch.load(path, weights_only=True, map_location="cpu")` does.
  ///
  /// Throws a ``StateError``.
  public static func read(_ path: String) throws(StateError) -> PickleValue {
    let file = try InputFile(path)
    var budget = ExpansionBudget(for: file)
    let container = try PyTorchContainer(file, budget: &budget)
    let tensors = try container.tensors(Array(container.graph.tensors.indices), budget: &budget)
    let byIndex = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($0.offset, $0.element) })
    var tree = PickleTree(container.graph, tensors: byIndex, path: path)
    return try tree.value(container.graph.root)
  }

  /// Writes a value in the zip format, for `torch.load(path, weights_only=True)`, whole or not at all.
  ///
  /// Each tensor gets a storage of its own. Throws a ``StateError``.
  public static func write(_ value: PickleValue, to path: String) throws(StateError) {
    let pickle = try Pickler(value, path: path)
    var entries: [ZipWriter.Entry] = [
      .init("archive/data.pkl", pickle.bytes), .init("archive/byteorder", Array("little".utf8)),
    ]
    entries += pickle.tensors.enumerated().map { .init("archive/data/\($0.offset)", tensor: $0.element) }
    entries.append(.init("archive/version", Array("3\n".utf8)))
    try ZipWriter.write(entries, to: path)
  }

  /// Reads the state dict at a key of the root, or the only one there is.
  static func readStateDict(_ file: InputFile, at key: String? = nil) throws(StateError) -> StateDict {
    var budget = ExpansionBudget(for: file)
    let container = try PyTorchContainer(file, budget: &budget)
    let found = try StateDictSearch(container.graph, at: key, path: file.path)
    let tensors = try container.tensors(found.entries.map(\.tensor), budget: &budget)
    var stateDict = StateDict(uniqueKeysWithValues: zip(found.entries.map(\.key), tensors).map { ($0, $1) })
    if let place = found.place { stateDict.metadata["pytorch.key"] = place }
    if !found.skipped.isEmpty { stateDict.metadata["pytorch.skipped"] = found.skipped.firstTen }
    return stateDict
  }
}

extension StateDict {
  /// Reads the weights in a file of PyTorch, of either format of `torch.save`.
  ///
  /// The state dict is the root, or the one dict of tensors in it (`state_dict`, `model`, ...); where there are several,
  /// `key` names one. The metadata `pytorch.key` says which was taken and `pytorch.skipped` what was passed over because
  /// it is no tensor. Throws a ``StateError``.
  public init(pyTorch path: String, at key: String? = nil) throws(StateError) {
    self = try PyTorchFile.readStateDict(InputFile(path), at: key)
  }
}
