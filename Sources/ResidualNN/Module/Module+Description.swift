extension Module: CustomStringConvertible {
  /// The module as a tree: a line a module with its arguments, the shapes of its own parameters and the number of
  /// trainable values below it.
  public var description: String {
    var lines: [String] = []
    describe(as: "", indent: 0, into: &lines)
    let all = parameters()
    let trainable = all.filter(\.requiresGrad).reduce(0) { $0 + $1.count }
    lines.append("parameters: \(all.reduce(0) { $0 + $1.count }), trainable: \(trainable)")
    return lines.joined(separator: "\n")
  }

  private func describe(as key: String, indent: Int, into lines: inout [String]) {
    let name = key.isEmpty ? "" : "(\(key)): "
    let shapes = entries.compactMap { key, entry -> String? in
      guard case .parameter(let parameter) = entry else { return nil }
      return "\(key) \(parameter.shape)\(parameter.requiresGrad ? "" : " frozen")"
    }
    let detail = shapes.isEmpty ? "" : "  \(shapes.joined(separator: ", "))"
    let count = children.isEmpty ? "" : "  \(parameters().reduce(0) { $0 + $1.count }) parameters"
    lines.append(
      String(repeating: "  ", count: indent) + "\(name)\(type(of: self))(\(argumentDescription))\(detail)\(count)")
    for (key, child) in children { child.describe(as: key, indent: indent + 1, into: &lines) }
  }
}
