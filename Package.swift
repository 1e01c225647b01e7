// swift-tools-version: 6.1

import PackageDescription

let package = Package(
  name: "Residual",
  products: [
    .library(name: "Residual", targets: ["Residual"]),
    .executable(name: "resnet", targets: ["resnet"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
  ],
  targets: [
    // C libraries of the system.
    .systemLibrary(name: "SystemHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "SystemZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // C of our own.
    .target(name: "CKernels"),
    .target(name: "CHDF5", dependencies: ["SystemHDF5"]),

    // The library, lowest layer first: imports point up this list only.
    .target(name: "ResidualTensor", dependencies: ["CKernels"]),
    .target(
      name: "ResidualState",
      dependencies: [
        "ResidualTensor", "CHDF5", "SystemZlib",
        .product(name: "OrderedCollections", package: "swift-collections"),
      ]),
    .target(name: "ResidualNN", dependencies: ["ResidualTensor", "ResidualState", "CKernels"]),
    .target(name: "ResidualVision", dependencies: ["ResidualNN", "SystemZlib"]),
    .target(
      name: "ResidualTraining",
      dependencies: ["ResidualVision", .product(name: "OrderedCollections", package: "swift-collections")]),
    .target(name: "Residual", dependencies: ["ResidualTraining"]),

    .executableTarget(
      name: "resnet",
      dependencies: [
        "Residual", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .testTarget(name: "KernelTests", dependencies: ["CKernels"]),
    .testTarget(name: "TensorTests", dependencies: ["ResidualTensor"], resources: [.copy("Fixtures")]),
    .testTarget(name: "StateTests", dependencies: ["ResidualState"], resources: [.copy("Fixtures")]),
    .testTarget(name: "NNTests", dependencies: ["ResidualVision"], resources: [.copy("Fixtures")]),
    .testTarget(name: "VisionTests", dependencies: ["ResidualVision", "SystemZlib"]),
    .testTarget(name: "TrainingTests", dependencies: ["ResidualTraining"]),
    .testTarget(name: "ParityTests", dependencies: ["Residual"]),
    .testTarget(name: "CommandTests", dependencies: ["Residual", "resnet"]),
  ],
  swiftLanguageModes: [.v6]
)
