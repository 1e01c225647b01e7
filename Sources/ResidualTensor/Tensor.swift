/// A dense float32 array of any rank, with its place in the record of the computation it came from.
///
/// Shapes are PyTorch's: `[N, C, H, W]` for images, `[N, C]` for features, `[]` for a scalar. In memory the positions
/// come first and the channel last (`[H, W, N, C]`), which no public function shows: elements go in and out in the
/// logical order of the shape. Copying a tensor copies a reference to its elements.
public struct Tensor {
  /// The logical shape.
  public let shape: [Int]
  /// The elements in physical order.
  public let storage: Storage
  /// Where the tensor stands in the record; nil when no gradient is wanted.
  let node: Node?
  /// Whether the elements are a gradient that nobody else refers to: who gets it may write its own result there.
  let mayBeOverwritten: Bool

  /// A tensor over existing elements in physical order (`[H, W, N, C]`, see `MemoryFormat`).
  public init(storage: Storage, shape: [Int]) {
    self.init(storage: storage, shape: shape, node: nil)
  }

  init(storage: Storage, shape: [Int], node: Node?, mayBeOverwritten: Bool = false) {
    precondition(shape.allSatisfy { $0 >= 0 }, "Tensor: a size in the shape \(shape) is negative")
    precondition(
      storage.count == shape.elementCount, "Tensor: shape \(shape) does not hold \(storage.count) elements")
    self.shape = shape
    self.storage = storage
    self.node = node
    self.mayBeOverwritten = mayBeOverwritten
  }

  /// A tensor of equal elements.
  ///
  /// PyTorch: `torch.full`.
  public init(repeating value: Float, shape: [Int]) {
    self.init(storage: Storage(repeating: value, count: shape.elementCount), shape: shape)
  }

  /// A tensor from its elements in logical order (`[N, C, H, W]`, last dimension fastest).
  ///
  /// PyTorch: `torch.tensor`.
  public init(_ scalars: [Float], shape: [Int]) {
    precondition(scalars.count == shape.elementCount, "Tensor: \(scalars.count) elements for shape \(shape)")
    let storage = Storage(uninitialized: scalars.count)
    scalars.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { MemoryFormat.toPhysical(base, shape: shape, into: storage.pointer) }
    }
    self.init(storage: storage, shape: shape)
  }

  /// A copy of `shape.elementCount` elements of a storage, from `offset` on, in physical order.
  init(storage source: Storage, offset: Int, shape: [Int]) {
    let part = Storage(uninitialized: shape.elementCount)
    part.pointer.update(from: source.pointer + offset, count: part.count)
    self.init(storage: part, shape: shape)
  }

  /// A scalar of shape `[]`.
  public init(_ scalar: Float) { self.init(repeating: scalar, shape: []) }

  /// Number of dimensions.
  public var rank: Int { shape.count }
  /// Number of elements.
  public var count: Int { storage.count }

  /// The elements in logical order.
  ///
  /// PyTorch: `tensor.flatten().tolist()`.
  public var scalars: [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress { MemoryFormat.toLogical(storage.pointer, shape: shape, into: base) }
      initialized = count
    }
  }

  /// The only element of a tensor that has one.
  ///
  /// PyTorch: `Tensor.item`.
  public var item: Float {
    precondition(count == 1, "item: a tensor of shape \(shape) has \(count) elements")
    return storage.pointer[0]
  }

  /// Whether `backward` will bring a gradient here.
  ///
  /// PyTorch: `Tensor.requires_grad`.
  public var requiresGrad: Bool { node != nil }

  /// The gradient that `backward` has left at this leaf; nil before, and for tensors that were computed.
  ///
  /// PyTorch: `Tensor.grad`.
  public var grad: Tensor? { node.flatMap { $0.isLeaf ? $0.gradient : nil } }

  /// The same without waiting for tasks that may still be computing it.
  package var pendingGrad: PendingGradient? { node.flatMap { $0.isLeaf ? $0.pendingGradient : nil } }

  /// The same elements as a leaf that collects a gradient.
  ///
  /// PyTorch: `Tensor.requires_grad_()`.
  public func requiringGrad() -> Tensor {
    Tensor(storage: storage, shape: shape, node: Node(leafOf: shape))
  }

  /// A leaf whose gradient always lives in `gradient`: how parameters keep their identity.
  public func requiringGrad(in gradient: Storage) -> Tensor {
    Tensor(storage: storage, shape: shape, node: Node(leafOf: shape, home: gradient))
  }

  /// Forgets the gradient of a leaf; the next `backward` starts from zero.
  ///
  /// PyTorch: `zero_grad(set_to_none=True)`.
  public func clearGrad() { node?.clearGradient() }

  /// The same elements, outside the record.
  ///
  /// PyTorch: `Tensor.detach`.
  public func detached() -> Tensor { Tensor(storage: storage, shape: shape) }

  /// A tensor with its own copy of the elements, outside the record.
  ///
  /// PyTorch: `Tensor.detach().clone()`.
  public func copied() -> Tensor {
    let copy = Storage(uninitialized: count)
    copy.pointer.update(from: storage.pointer, count: count)
    return Tensor(storage: copy, shape: shape)
  }
}

extension Tensor: CustomStringConvertible {
  /// Shape and up to eight elements.
  public var description: String {
    let shown = scalars.prefix(8).map { "\($0)" }.joined(separator: ", ")
    return "Tensor(\(shape), [\(shown)\(count > 8 ? ", …" : "")])"
  }
}

extension [Int] {
  /// Number of elements of a tensor of this shape.
  public var elementCount: Int { reduce(1, *) }
}
