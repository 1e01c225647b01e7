import ResidualNN
import ResidualState

extension Module {
  /// Loads pretrained weights into a model for other images: where the file's head has other classes it is left out,
  /// where its stem has other input channels it is adapted, and the report names both.
  @discardableResult
  public func load(_ state: StateDict, startingFrom model: ModelName) throws -> LoadReport {
    let own = stateDict()
    let headDiffers = state.contains { key, value in
      key.hasPrefix("\(model.head).") && own[key].map { $0.shape != value.shape } ?? false
    }
    let stem = "\(model.stem).weight"
    let stemDiffers = state[stem].map { $0.shape != own[stem]?.shape } ?? false
    return try load(state, replacing: headDiffers ? [model.head] : [], adapting: stemDiffers ? [model.stem] : [])
  }
}
