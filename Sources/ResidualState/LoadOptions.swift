/// What loading a state dict into a model may do beyond the strict rule that names, shapes and types are all equal.
///
/// Everything an option lets pass is named in the ``LoadReport``.
public struct LoadOptions: Sendable {
  /// Prefixes of keys (`fc`, `layer4.2`) whose tensors stay as they are in the model, whatever the file says.
  public var replacing: [String]
  /// Names of convolutions (`conv1`) whose weight may have another number of input channels in the file.
  ///
  /// A weight `[O, C, kh, kw]` goes to `[O, 1, kh, kw]` by summing over its input channels: the same result as feeding
  /// the one channel C times. From one channel to C each gets the weight divided by C.
  public var adapting: [String]
  /// A prefix such as `module.`, left by DistributedDataParallel, taken off every key that has it.
  public var strippingPrefix: String?
  /// Gives a key of the file (after ``strippingPrefix``) the name it has in the model.
  public var renaming: (@Sendable (String) -> String)?
  /// Leaves tensors of another shape or type as they are in the model (PyTorch's `strict=False` would still throw).
  public var skippingMismatched: Bool
  /// Leaves tensors that the file lacks as they are in the model.
  public var ignoringMissing: Bool
  /// Passes over tensors that the model does not have.
  public var ignoringUnexpected: Bool
  /// Casts floating-point numbers to the model's floating-point type, and integers to its integer type.
  public var casting: Bool

  /// Makes options; without arguments, the strict ones.
  public init(
    replacing: [String] = [], adapting: [String] = [], strippingPrefix: String? = nil,
    renaming: (@Sendable (String) -> String)? = nil, skippingMismatched: Bool = false,
    ignoringMissing: Bool = false, ignoringUnexpected: Bool = false, casting: Bool = false
  ) {
    self.replacing = replacing
    self.adapting = adapting
    self.strippingPrefix = strippingPrefix
    self.renaming = renaming
    self.skippingMismatched = skippingMismatched
    self.ignoringMissing = ignoringMissing
    self.ignoringUnexpected = ignoringUnexpected
    self.casting = casting
  }

  /// Every key of the model once, nothing else, same shapes, same types.
  public static let strict = LoadOptions()
}
