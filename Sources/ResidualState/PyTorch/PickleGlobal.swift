/// The names of Python that a pickle may use.
///
/// Each is a case handled here: nothing is ever looked up or run.
enum PickleGlobal: Equatable {
  case orderedDict, counter
  /// `_rebuild_tensor` and its second and third version.
  case rebuildTensor(version: Int)
  case rebuildParameter, rebuildFromType
  /// A storage's element type, nil for bytes.
  case storageType(DataType?)
  case dataType(DataType)
  case tensorType
  case size, device
  case numpyScalar, numpyType
  case encode

  init?(module: String, name: String) {
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDict
    case ("collections", "Counter"): self = .counter
    case ("torch._utils", "_rebuild_tensor"): self = .rebuildTensor(version: 1)
    case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor(version: 2)
    case ("torch._utils", "_rebuild_tensor_v3"): self = .rebuildTensor(version: 3)
    case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
      self = .rebuildParameter
    case ("torch._tensor", "_rebuild_from_type_v2"): self = .rebuildFromType
    case ("torch", "Tensor"), ("torch.nn.parameter", "Parameter"): self = .tensorType
    case ("torch.storage", "UntypedStorage"), ("torch", "UntypedStorage"): self = .storageType(nil)
    case ("torch", "Size"): self = .size
    case ("torch", "device"): self = .device
    case ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"): self = .numpyScalar
    case ("numpy", "dtype"): self = .numpyType
    case ("_codecs", "encode"): self = .encode
    case ("torch", _), ("torch.cuda", _):
      if let type = Self.storageTypes[name] {
        self = .storageType(type)
      } else if module == "torch", let type = DataType(rawValue: name) {
        self = .dataType(type)
      } else {
        return nil
      }
    default: return nil
    }
  }

  private static let storageTypes: [String: DataType] = [
    "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
    "ByteStorage": .uint8, "BoolStorage": .bool,
  ]
}

extension PickleGlobal {
  /// Why a name is refused, and what to do.
  static func refusal(module: String, name: String, path: String) -> StateError {
    let global = String("\(module).\(name)".prefix(200))
    let top = module.split(separator: ".").first.map(String.init) ?? ""
    let programs: Set = [
      "os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "runpy", "socket", "shutil",
    ]
    let advice: String
    if programs.contains(top) {
      advice = "A file of weights has no use for it: it may be an attack. Do not load it in Python either"
    } else if module.hasPrefix("torch") && name.hasSuffix("Storage")
      || module == "torch" && name.first?.isLowercase == true
    {
      advice = "This element type is not read here: cast the tensors before saving, e.g. with .float()"
    } else if module.hasPrefix("torch._utils") || module.hasPrefix("torch.sparse") {
      advice =
        "This kind of tensor is not read here: make it dense and plain (.to_dense(), .dequantize()) before saving"
    } else if module.hasPrefix("torch.nn") || module.hasPrefix("torchvision") || top == "__main__" || top == "__torch__"
      || top.hasPrefix("model") || top.hasPrefix("net") || top == "timm"
    {
      advice =
        "This looks like a whole pickled model rather than a state dict: where the model's code is at hand and the file "
        + "is trusted, save its weights in Python: torch.save(model.state_dict(), \"weights.pth\")"
    } else {
      advice =
        "Where the file is trusted, keep only the weights, in Python: checkpoint = torch.load(path, "
        + "weights_only=False); torch.save(checkpoint[\"state_dict\"], \"weights.pth\")"
    }
    return StateError(
      .refused,
      "the pickle names \(global); only tensors and plain values are read, and nothing is ever run. \(advice)",
      path: path)
  }
}
