import ResidualNN

/// ResNet-18.
///
/// torchvision: `resnet18`.
public func resnet18(inputChannels: Int = 3, classes: Int = 1000, options: BlockOptions = .init()) -> ResNet {
  ResNet([2, 2, 2, 2], block: .basic, inputChannels: inputChannels, classes: classes, options: options)
}

/// ResNet-34.
///
/// torchvision: `resnet34`.
public func resnet34(inputChannels: Int = 3, classes: Int = 1000, options: BlockOptions = .init()) -> ResNet {
  ResNet([3, 4, 6, 3], block: .basic, inputChannels: inputChannels, classes: classes, options: options)
}

/// ResNet-50.
///
/// torchvision: `resnet50`.
public func resnet50(inputChannels: Int = 3, classes: Int = 1000, options: BlockOptions = .init()) -> ResNet {
  ResNet([3, 4, 6, 3], inputChannels: inputChannels, classes: classes, options: options)
}

/// ResNet-101.
///
/// torchvision: `resnet101`.
public func resnet101(inputChannels: Int = 3, classes: Int = 1000, options: BlockOptions = .init()) -> ResNet {
  ResNet([3, 4, 23, 3], inputChannels: inputChannels, classes: classes, options: options)
}

/// ResNet-152.
///
/// torchvision: `resnet152`.
public func resnet152(inputChannels: Int = 3, classes: Int = 1000, options: BlockOptions = .init()) -> ResNet {
  ResNet([3, 8, 36, 3], inputChannels: inputChannels, classes: classes, options: options)
}
