extension Tensor {
  /// The same elements in logical order under another shape.
  ///
  /// PyTorch: `Tensor.reshape`.
  ///
  /// Free when no position has to move (`[N, C, 1, 1]` to `[N, C]`, say), otherwise one transposing copy.
  public func reshaped(_ newShape: [Int]) -> Tensor {
    precondition(
      newShape.elementCount == count, "reshaped: shape \(shape) has \(count) elements, \(newShape) has another number")
    let node = node
    let oldShape = shape
    return .recorded(Self.reordered(storage, from: shape, to: newShape), shape: newShape, from: self) { gradient in
      let moved = Self.reordered(gradient.storage, from: newShape, to: oldShape)
      node?.receive(Tensor(storage: moved, shape: oldShape))
    }
  }

  /// `[N, ...]` to `[N, everything else]`.
  ///
  /// PyTorch: `torch.flatten(x, 1)`.
  public func flattened() -> Tensor {
    precondition(rank >= 1, "flattened: a scalar has no batch dimension")
    return reshaped([shape[0], shape.dropFirst().reduce(1, *)])
  }

  private static func reordered(_ storage: Storage, from old: [Int], to new: [Int]) -> Storage {
    let (oldIsLogical, newIsLogical) = (isLogical(old), isLogical(new))
    if oldIsLogical && newIsLogical { return storage }
    var logical = storage
    if !oldIsLogical {
      logical = Storage(uninitialized: storage.count)
      MemoryFormat.toLogical(storage.pointer, shape: old, into: logical.pointer)
    }
    if newIsLogical { return logical }
    let physical = Storage(uninitialized: storage.count)
    MemoryFormat.toPhysical(logical.pointer, shape: new, into: physical.pointer)
    return physical
  }

  /// Whether physical and logical order agree.
  private static func isLogical(_ shape: [Int]) -> Bool {
    shape.count <= 2 || shape[0] * shape[1] == 1 || shape.dropFirst(2).reduce(1, *) == 1
  }
}
