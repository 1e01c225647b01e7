import ResidualNN
import ResidualState

extension Module {
  /// Loads pretrained weights into a model for other images: where the file's head has other classes it is left out,
  /// where its stem has other input channels it is adapted, and the report names both.
  ///
  /// - Parameters:
  ///   - state: The pretrained weights.
  ///   - model: Tells which keys are head and stem.
  ///   - options: What else may differ.
  /// - Throws: `StateError` with every key that does not fit; the model is then unchanged.
  @discardableResult
  public func load(
    _ state: StateDict, startingFrom model: ModelName, options: LoadOptions = .strict
  ) throws -> LoadReport {
    let shapes = Dictionary(uniqueKeysWithValues: namedParameters().map { ($0.key, $0.parameter.shape) })
    let differs = { (key: String) -> Bool in
      guard let data = state[(options.strippingPrefix ?? "") + key], let shape = shapes[key] else { return false }
      return data.shape != shape
    }
    var options = options
    if shapes.keys.contains(where: { $0.hasPrefix("\(model.head).") && differs($0) }) {
      options.replacing.append(model.head)
    }
    if differs("\(model.stem).weight") { options.adapting.append(model.stem) }
    return try load(state, options: options)
  }
}
