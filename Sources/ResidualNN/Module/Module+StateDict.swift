import ResidualState
import ResidualTensor

extension Module {
  /// A snapshot of all parameters, persistent buffers and counters under PyTorch's keys.
  ///
  /// PyTorch: `state_dict()`.
  public func stateDict() -> StateDict {
    var state = StateDict()
    for (key, entry) in namedEntries() { state[key] = entry.data }
    return state
  }

  /// Copies a state dict into the module's parameters, buffers and counters.
  ///
  /// PyTorch: `load_state_dict`.
  ///
  /// Everything is checked before anything is written: after an error the module is what it was. Gradients are
  /// forgotten, references stay valid.
  ///
  /// - Returns: What was loaded, and whatever the options let pass.
  /// - Throws: `StateError` with every missing, unexpected and mismatched key.
  @discardableResult
  public func load(_ state: StateDict, options: LoadOptions = .strict) throws -> LoadReport {
    let entries = namedEntries()
    let plan = try LoadPlan(
      for: entries.compactMap { $1.expectation(key: $0) }, from: state, options: options, model: "\(type(of: self))")
    let targets = Dictionary(entries.map { ($0.key, $0.entry) }, uniquingKeysWith: { first, _ in first })
    for entry in plan.entries {
      if let data = entry.tensor { targets[entry.key]?.assign(data) }
    }
    return plan.report
  }

  /// Loads with a new head and an adapted stem: `load(state, replacing: ["fc"], adapting: ["conv1"])`.
  ///
  /// - Parameters:
  ///   - replacing: Prefixes of keys that keep the module's own values.
  ///   - adapting: Convolutions whose input channels may differ: the file's are summed, or shared out.
  @discardableResult
  public func load(_ state: StateDict, replacing: [String], adapting: [String] = []) throws -> LoadReport {
    try load(state, options: LoadOptions(replacing: replacing, adapting: adapting))
  }
}

extension StateEntry {
  /// The content in PyTorch's logical order; nil for a buffer that is not persistent.
  var data: TensorData? {
    switch self {
    case .parameter(let parameter): TensorData(parameter.value)
    case .buffer(let buffer): buffer.isPersistent ? TensorData(buffer.value) : nil
    case .counter(let counter): TensorData([counter.value], shape: [])
    }
  }

  func expectation(key: String) -> LoadPlan.Expected? {
    switch self {
    case .parameter(let parameter): .init(key: key, shape: parameter.shape, dtype: .float32)
    case .buffer(let buffer):
      buffer.isPersistent ? .init(key: key, shape: buffer.value.shape, dtype: .float32) : nil
    case .counter: .init(key: key, shape: [], dtype: .int64, isOptionalCounter: true)
    }
  }

  func assign(_ data: TensorData) {
    switch self {
    case .parameter(let parameter):
      parameter.zeroGrad()
      parameter.mutate { data.copy(into: $0) }
    case .buffer(let buffer): buffer.mutate { data.copy(into: $0) }
    case .counter(let counter): counter.value = data.scalars(as: Int64.self)[0]
    }
  }
}

extension TensorData {
  /// The elements of a tensor, float32, in logical order.
  public init(_ tensor: Tensor) {
    self.init(dtype: .float32, shape: tensor.shape) { bytes in
      guard let target = bytes.bindMemory(to: Float.self).baseAddress else { return }
      MemoryFormat.toLogical(tensor.storage.pointer, shape: tensor.shape, into: target)
    }
  }

  fileprivate func copy(into target: UnsafeMutableBufferPointer<Float>) {
    withUnsafeBytes { bytes in
      guard let source = bytes.assumingMemoryBound(to: Float.self).baseAddress, let base = target.baseAddress else {
        return
      }
      MemoryFormat.toPhysical(source, shape: shape, into: base)
    }
  }
}

extension Tensor {
  /// A tensor from saved elements; other types than float32 are converted.
  public init(_ data: TensorData) {
    let storage = Storage(uninitialized: data.count)
    data.converted(to: .float32).copy(into: UnsafeMutableBufferPointer(start: storage.pointer, count: data.count))
    self.init(storage: storage, shape: data.shape)
  }
}
