import ResidualTensor

/// A weight and its gradient, by reference.
///
/// Value and gradient are allocated once and never move: loading copies into them, optimizers update them in place, so
/// whoever holds the parameter sees every change. Only a gradient that `backward(stepping:)` uses up at once is elsewhere.
/// PyTorch: `torch.nn.Parameter`.
public final class Parameter {
  private let storage: Storage
  private let leaf: Tensor
  /// The shape, as PyTorch has it (`[out, in]`, `[O, I, KH, KW]`).
  public let shape: [Int]
  /// Whether `backward` brings a gradient here; false freezes the parameter, and a change forgets the gradient.
  ///
  /// PyTorch: `requires_grad`.
  public var requiresGrad = true {
    didSet { if requiresGrad != oldValue { zeroGrad() } }
  }

  /// A parameter that starts as a copy of `value`.
  public init(_ value: Tensor) {
    shape = value.shape
    storage = value.copied().storage
    leaf = Tensor(storage: storage, shape: shape).requiringGrad(in: Storage(uninitialized: storage.count))
  }

  /// The weight, for use in a computation: a leaf of the record unless the parameter is frozen.
  public var value: Tensor { requiresGrad ? leaf : leaf.detached() }

  /// The gradient summed since the last `zeroGrad`; nil when none has arrived or the parameter is frozen.
  ///
  /// PyTorch: `Parameter.grad`.
  public var grad: Tensor? { requiresGrad ? leaf.grad : nil }

  /// The same for an optimizer that looks at it in tasks of its own, after those that may still be computing it.
  var pendingGrad: PendingGradient? { requiresGrad ? leaf.pendingGrad : nil }

  /// Number of elements.
  public var count: Int { storage.count }

  /// Forgets the gradient: the next `backward` starts from zero.
  ///
  /// PyTorch: `zero_grad()`.
  public func zeroGrad() { leaf.clearGrad() }

  /// Copies `value`, of the same shape, into the weight.
  public func assign(_ value: Tensor) {
    precondition(value.shape == shape, "Parameter: a value of shape \(value.shape) for a parameter of shape \(shape)")
    mutate { $0.baseAddress?.update(from: value.storage.pointer, count: count) }
  }

  /// Changes the weight in place, in physical order, and marks what was derived from it as stale.
  public func mutate<Result>(_ body: (UnsafeMutableBufferPointer<Float>) throws -> Result) rethrows -> Result {
    try storage.mutate(body)
  }
}
