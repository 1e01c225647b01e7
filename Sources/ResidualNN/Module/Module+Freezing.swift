import ResidualState
import ResidualTensor

extension Module {
  /// Stops training of everything below: no gradients for its parameters, and batch norms use and keep their running
  /// statistics even through `train()`.
  ///
  /// Below the first parameter that is trained nothing is recorded, and a training step costs there what evaluation
  /// does. PyTorch: `requires_grad_(False)` plus `eval()` on the batch norms.
  public func freeze() {
    for (_, module) in namedModules() { module.setFrozen(true) }
  }

  /// Undoes `freeze()`.
  public func unfreeze() {
    for (_, module) in namedModules() { module.setFrozen(false) }
  }

  /// Trains these modules alone, with all below them, and freezes the others: `try model.freeze(allBut: ["fc"])`.
  ///
  /// - Parameter paths: Key paths of modules, such as `layer4` or `layer4.0.conv1`.
  /// - Throws: `StateError` if there is no module of that path, or if nothing would be trained; nothing is changed then.
  public func freeze(allBut paths: [String]) throws {
    let modules = namedModules()
    for path in paths where !modules.contains(where: { $0.path == path }) {
      let known = children.map(\.key).joined(separator: ", ")
      throw StateError(
        .invalidOptions, "\(type(of: self)) has no module '\(path)' to train; it has \(known), and what is below them",
        key: path)
    }
    func isTrained(_ path: String) -> Bool { paths.contains { path == $0 || path.hasPrefix("\($0).") } }
    guard modules.contains(where: { isTrained($0.path) && $0.module.hasOwnParameters }) else {
      throw StateError(
        .invalidOptions,
        "nothing would be trained: \(paths.joined(separator: ", ")) of \(type(of: self)) has no parameters")
    }
    for (path, module) in modules { module.setFrozen(!isTrained(path)) }
  }

  private var hasOwnParameters: Bool {
    entries.contains { if case .parameter = $0.entry { true } else { false } }
  }

  /// This module's own state, without what is below it.
  private func setFrozen(_ isFrozen: Bool) {
    for case (_, .parameter(let parameter)) in entries { parameter.requiresGrad = !isFrozen }
    didChangeFreezing(isFrozen)
  }
}
