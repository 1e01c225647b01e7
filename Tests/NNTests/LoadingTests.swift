import Foundation
import ResidualNN
import ResidualState
import ResidualTensor
import ResidualVision
import Testing

/// A folder that is gone after the test.
private final class TemporaryFolder {
  let path = FileManager.default.temporaryDirectory.appending(path: "residual-loading-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }
}

private func seeded<Model>(_ seed: UInt64, _ make: () -> Model) -> Model {
  Generator.withDefault(Generator(seed: seed), make)
}

/// A small residual network with everything the large ones have.
private func network(seed: UInt64, inputChannels: Int = 1, classes: Int = 10) -> CIFARResNet {
  seeded(seed) { CIFARResNet(layers: 8, inputChannels: inputChannels, classes: classes) }
}

@Suite("Loading weights")
struct LoadingTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test("What was written comes back, key by key and byte by byte")
  func roundTrip() throws {
    let (source, target) = (network(seed: 1), network(seed: 2))
    let path = folder.file("weights.h5")
    try source.stateDict().write(to: path)
    #expect(target.stateDict() != source.stateDict())
    let report = try target.load(StateDict(contentsOf: path))
    #expect(target.stateDict() == source.stateDict())
    #expect(report.loaded == source.stateDict().keys)
    #expect(report.missing.isEmpty && report.unexpected.isEmpty && report.replaced.isEmpty && report.cast.isEmpty)
  }

  /// A mistake in a file: how the file comes about, and what the error must say.
  enum BadFile: CaseIterable {
    case absent, folder, empty, text, webPage, zeros, cutInHalf, cutByOne, cutToHeader
    case missingKey, extraKey, wrongShape, wrongType, otherModel, prefixed

    var expected: (code: StateError.Code, words: [String]) {
      switch self {
      case .absent: (.notFound, ["there is no such file"])
      case .folder: (.wrongFormat, ["this is a folder"])
      case .empty: (.wrongFormat, ["the file is empty"])
      case .text: (.wrongFormat, ["this is a text file", "HDF5"])
      case .webPage: (.wrongFormat, ["this is a web page", "fetch it again"])
      case .zeros: (.wrongFormat, ["begins with zeros"])
      case .cutInHalf, .cutByOne, .cutToHeader: (.truncated, [])
      case .missingKey: (.missingKeys, ["Missing key(s) in state_dict: \"layer1.0.conv1.weight\""])
      case .extraKey: (.unexpectedKeys, ["Unexpected key(s) in state_dict: \"layer9.weight\""])
      case .wrongShape:
        (.shapeMismatch, ["size mismatch for linear.weight", "[5, 64]", "[10, 64]", "replacing: [\"linear\"]"])
      case .wrongType: (.dtypeMismatch, ["dtype mismatch for linear.bias", "float64", "float32", "casting: true"])
      case .otherModel: (.missingKeys, ["Missing key(s)", "Unexpected key(s)"])
      case .prefixed: (.missingKeys, ["strippingPrefix: \"module.\""])
      }
    }

    func write(to path: String) throws {
      var state = Self.good
      switch self {
      case .absent: return
      case .folder: return try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      case .empty: return try Data().write(to: URL(filePath: path))
      case .text: return try Data("conv1.weight 0.1 0.2\n".utf8).write(to: URL(filePath: path))
      case .webPage: return try Data("<!DOCTYPE html><html>404</html>".utf8).write(to: URL(filePath: path))
      case .zeros: return try Data(count: 100_000).write(to: URL(filePath: path))
      case .cutInHalf, .cutByOne, .cutToHeader:
        try state.write(to: path)
        let whole = try Data(contentsOf: URL(filePath: path))
        let kept = self == .cutInHalf ? whole.count / 2 : self == .cutByOne ? whole.count - 1 : 100
        return try whole.prefix(kept).write(to: URL(filePath: path))
      case .missingKey: state["layer1.0.conv1.weight"] = nil
      case .extraKey: state["layer9.weight"] = TensorData([1] as [Float], shape: [1])
      case .wrongShape: state["linear.weight"] = TensorData([Float](repeating: 1, count: 5 * 64), shape: [5, 64])
      case .wrongType: state["linear.bias"] = TensorData([Double](repeating: 1, count: 10), shape: [10])
      case .otherModel: state = SmallCNN().stateDict()
      case .prefixed: state = StateDict(uniqueKeysWithValues: state.map { ("module.\($0.key)", $0.value) })
      }
      try state.write(to: path)
    }

    private static var good: StateDict { network(seed: 7).stateDict() }
  }

  @Test("Bad input is named, and not a byte of the model changes", arguments: BadFile.allCases)
  func badFile(what: BadFile) throws {
    let path = folder.file("weights.h5")
    try what.write(to: path)
    let model = network(seed: 2)
    let before = model.stateDict()
    let error = #expect(throws: StateError.self) { try model.load(StateDict(contentsOf: path)) }
    #expect(error?.code == what.expected.code, "\(String(describing: error))")
    for words in what.expected.words {
      #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    }
    if [.notFound, .wrongFormat, .truncated].contains(what.expected.code) {
      #expect(error?.description.contains(path) == true)
    }
    #expect(model.stateDict() == before)
  }

  @Test("After a load every reference is valid: parameters, buffers, optimizer, gradients' places")
  func referencesStayValid() throws {
    let model = network(seed: 2)
    let parameters = model.parameters()
    let buffers = model.namedBuffers()
    let storages = parameters.map(\.value.storage)
    let optimizer = try SGD(parameters, learningRate: 0.1)
    let source = network(seed: 3)
    model.linear.weight.value.sum().backward()
    try model.load(source.stateDict())

    #expect(zip(parameters, model.parameters()).allSatisfy { $0 === $1 })
    #expect(zip(storages, parameters).allSatisfy { $0 === $1.value.storage })
    #expect(zip(buffers, model.namedBuffers()).allSatisfy { $0.buffer === $1.buffer })
    #expect(parameters.allSatisfy { $0.grad == nil })
    let loaded = source.linear.bias?.value.scalars
    #expect(model.linear.bias?.value.scalars == loaded)
    model.linear.bias?.value.sum().backward()
    optimizer.step()
    #expect(model.linear.bias?.value.scalars == loaded?.map { $0 - 0.1 })
  }

  @Test("After a load evaluation uses the new weights, also where it had folded the old ones")
  func foldedWeightsFollow() throws {
    let (model, other) = (network(seed: 2), network(seed: 3))
    let x = Tensor((0..<2 * 32 * 32).map { Float($0 % 11) / 11 }, shape: [2, 1, 32, 32])
    model.eval()
    other.eval()
    let old = withoutRecording { model(x).scalars }
    try model.load(other.stateDict())
    let new = withoutRecording { model(x).scalars }
    #expect(new != old)
    #expect(new == withoutRecording { other(x).scalars })
  }

  @Test("A three-channel stem is summed into one, a head of other classes stays, and the report names both")
  func stemAndHead() throws {
    let source = network(seed: 1, inputChannels: 3, classes: 100)
    let model = network(seed: 2)
    let head = model.linear.weight.value.scalars
    let report = try model.load(source.stateDict(), replacing: ["linear"], adapting: ["conv1"])
    #expect(report.replaced == ["linear.weight", "linear.bias"])
    #expect(report.adapted.map(\.key) == ["conv1.weight"])
    #expect(report.adapted.first?.from == [16, 3, 3, 3])
    #expect(report.adapted.first?.to == [16, 1, 3, 3])
    #expect("\(report)".contains("replaced, left as in the model (2): linear.weight, linear.bias"))
    #expect("\(report)".contains("adapted (1): conv1.weight from [16, 3, 3, 3] to [16, 1, 3, 3]"))
    #expect(model.linear.weight.value.scalars == head)
    let wide = try #require(source.stateDict()["conv1.weight"]?.scalars(as: Double.self))
    let narrow = try #require(model.stateDict()["conv1.weight"]?.scalars(as: Double.self))
    for (index, value) in narrow.enumerated() {
      let (output, tap) = (index / 9, index % 9)
      let sum = (0..<3).reduce(0) { $0 + wide[(output * 3 + $1) * 9 + tap] }
      #expect(abs(value - sum) < 1e-7)
    }
    let automatic = network(seed: 2)
    #expect(try automatic.load(source.stateDict(), startingFrom: .cifarResNet20) == report)
    #expect(automatic.stateDict() == model.stateDict())
  }

  @Test("Where head and stem fit, nothing is replaced or adapted")
  func fineTuningOfTheSame() throws {
    let report = try network(seed: 2).load(network(seed: 1).stateDict(), startingFrom: .cifarResNet20)
    #expect(report.replaced.isEmpty && report.adapted.isEmpty)
  }

  @Test("An option that names nothing of the model is refused, and nothing changes")
  func misspeltOption() {
    let model = network(seed: 2)
    let before = model.stateDict()
    let error = #expect(throws: StateError.self) {
      try model.load(network(seed: 1).stateDict(), replacing: ["linea"])
    }
    #expect(error?.code == .invalidOptions)
    #expect(error?.message.contains("Did you mean \"linear\"?") == true)
    #expect(model.stateDict() == before)
  }

  @Test("A partial load on request names what it left")
  func partialLoad() throws {
    let model = network(seed: 2)
    let before = model.stateDict()
    var state = network(seed: 1).stateDict()
    state["bn1.weight"] = nil
    state["extra"] = TensorData([1] as [Float], shape: [1])
    state["linear.bias"] = TensorData([1, 2] as [Float], shape: [2])
    let report = try model.load(
      state, options: LoadOptions(skippingMismatched: true, ignoringMissing: true, ignoringUnexpected: true))
    #expect(report.missing == ["bn1.weight"])
    #expect(report.unexpected == ["extra"])
    #expect(report.mismatched == ["linear.bias"])
    #expect(model.stateDict()["bn1.weight"] == before["bn1.weight"])
    #expect(model.stateDict()["linear.bias"] == before["linear.bias"])
    #expect(model.stateDict()["conv1.weight"] == state["conv1.weight"])
  }

  @Test("float16 weights load when casting is asked for")
  func casting() throws {
    let model = seeded(2) { Linear(3, 2) }
    var state = seeded(1) { Linear(3, 2) }.stateDict()
    let half = try #require(state["weight"]?.converted(to: .float16))
    state["weight"] = half
    #expect(throws: StateError.self) { try model.load(state) }
    let report = try model.load(state, options: LoadOptions(casting: true))
    #expect(report.cast.map(\.key) == ["weight"])
    #expect(model.weight.value.scalars == half.scalars(as: Float.self))
  }
}
