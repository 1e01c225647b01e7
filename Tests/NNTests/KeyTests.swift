import Foundation
import ResidualNN
import ResidualVision
import Testing

/// `tools/reference/key_fixtures.py` writes the fixture from PyTorch's state dicts.
@Suite("Keys, shapes and order are PyTorch's")
struct KeyTests {
  private struct Entry: Decodable, Equatable, CustomStringConvertible {
    let key: String
    let shape: [Int]
    var description: String { "\(key) \(shape)" }

    init(_ key: String, _ shape: [Int]) {
      self.key = key
      self.shape = shape
    }

    init(from decoder: any Decoder) throws {
      var pair = try decoder.unkeyedContainer()
      key = try pair.decode(String.self)
      shape = try pair.decode([Int].self)
    }
  }

  @Test(arguments: ["resnet18", "resnet50", "resnet101", "cifar-resnet20", "small-cnn"])
  func keys(name: String) throws {
    let folder = try #require(Bundle.module.resourceURL)
    let fixture = try JSONDecoder().decode(
      [String: [Entry]].self, from: Data(contentsOf: folder.appending(path: "Fixtures/keys.json")))
    let expected = try #require(fixture[name])
    let model = try ModelName(named: name).build(inputChannels: 1, classes: 10, imageSize: 28)
    let state = model.stateDict()
    #expect(state.map { Entry($0.key, $0.value.shape) } == expected)
    for (key, tensor) in state {
      #expect(tensor.dtype == (key.hasSuffix("num_batches_tracked") ? .int64 : .float32), "\(key)")
    }
    let trained = expected.filter { entry in
      !["running_mean", "running_var", "num_batches_tracked"].contains { entry.key.hasSuffix($0) }
    }
    #expect(model.namedParameters().map { Entry($0.key, $0.parameter.shape) } == trained)
  }

  @Test("A model nobody knows is refused with the names there are")
  func unknownName() {
    let error = #expect(throws: ModelError.self) { try ModelName(named: "resnet100") }
    #expect(error?.code == .unknownModel)
    #expect(error?.message.contains("'resnet100'") == true)
    #expect(error?.message.contains("resnet101") == true)
  }
}
