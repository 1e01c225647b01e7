import Foundation
import Residual
import Testing

@Suite("resnet evaluate and inspect")
struct EvaluateCommandTests {
  private let data: TinyMNIST
  private let folder: TemporaryFolder
  private let weights: String

  init() throws {
    data = try TinyMNIST()
    folder = try TemporaryFolder()
    weights = folder.file("weights.h5")
    try Self.model().stateDict().write(to: weights)
  }

  private static func model() -> CIFARResNet {
    Generator.withDefault(Generator(seed: 9)) { CIFARResNet(layers: 20, inputChannels: 1, classes: 10) }
  }

  private func evaluate(_ arguments: String...) throws -> Command {
    try Command(["evaluate", "--weights", weights, "--model", "cifar-resnet20", "--data", data.path] + arguments)
  }

  @Test("With --json one object with the fields of the contract")
  func json() throws {
    let command = try evaluate("--json")
    #expect(command.errors == "")
    let objects = try command.objects()
    #expect(objects.count == 1)
    let object = try #require(objects.first)
    #expect(object.keys == ["event", "images", "loss", "accuracy", "f1"])
    #expect(object["event"] == "evaluate")
    #expect(try object.integer("images") == TinyMNIST.testCount)
    let loader = try DataLoader(DatasetSource(data.path).load(.test), batchSize: 64, order: .sequential)
    let metrics = try Residual.evaluate(Self.model(), on: loader)
    #expect(try object.number("loss") == metrics.loss)
    #expect(try object.number("accuracy") == metrics.accuracy)
    #expect(try object.number("f1") == metrics.f1)
  }

  @Test("--limit takes the first images; for people one line")
  func limit() throws {
    let command = try evaluate("--limit", "5")
    #expect(command.status == 0 && command.errors == "")
    #expect(command.output.hasPrefix("5 images: accuracy "))
    #expect(command.output.split(separator: "\n").count == 1)
  }

  @Test("--logits writes float32 logits and int64 labels in the order of the file")
  func logits() throws {
    let path = folder.file("logits.h5")
    let object = try #require(try evaluate("--json", "--batch-size", "5", "--logits", path).objects().first)
    let table = try StateDict(contentsOf: path)
    #expect(Set(table.keys) == ["logits", "labels"])
    let (logits, labels) = (try #require(table["logits"]), try #require(table["labels"]))
    #expect(logits.dtype == .float32 && logits.shape == [TinyMNIST.testCount, 10])
    #expect(labels.dtype == .int64 && labels.shape == [TinyMNIST.testCount])
    #expect(labels.scalars(as: Int64.self) == TinyMNIST.labels(TinyMNIST.testCount).map(Int64.init))

    let loader = try DataLoader(DatasetSource(data.path).load(.test), batchSize: 5, order: .sequential)
    let model = Self.model()
    model.eval()
    let expected = withoutRecording { loader.epoch(0).flatMap { model($0.images).scalars } }
    let scalars = logits.scalars(as: Float.self)
    #expect(scalars == expected)
    let right = labels.scalars(as: Int64.self).enumerated().count { row, label in
      let values = scalars[row * 10..<row * 10 + 10]
      return values.max() == values[row * 10 + Int(label)]
    }
    #expect(abs(try object.number("accuracy") - Double(right) / Double(TinyMNIST.testCount)) < 1e-12)
  }

  @Test("inspect --json lists every tensor in order")
  func inspectJSON() throws {
    let objects = try Command("inspect", weights, "--json").objects()
    #expect(objects.count == 1)
    let object = try #require(objects.first)
    #expect(object.keys == ["format", "parameters", "entries"])
    #expect(object["format"] == "hdf5")
    let model = Self.model()
    #expect(try object.integer("parameters") == model.parameters().reduce(0) { $0 + $1.count })
    let entries = try #require(object.fields["entries"] as? [[String: Any]])
    let state = try StateDict(contentsOf: weights)
    #expect(entries.map { $0["key"] as? String } == state.keys)
    #expect(Set(state.keys) == Set(model.stateDict().keys))
    for entry in entries {
      #expect(Set(entry.keys) == ["key", "shape", "dtype"])
      let tensor = try #require(state[entry["key"] as? String ?? ""])
      #expect(entry["shape"] as? [Int] == tensor.shape)
      #expect(entry["dtype"] as? String == (tensor.shape.isEmpty ? "int64" : "float32"))
    }
  }

  @Test("inspect for people: a line a tensor, counts and size last")
  func inspectPlain() throws {
    let command = try Command("inspect", weights)
    #expect(command.status == 0 && command.errors == "")
    let lines = command.output.split(separator: "\n")
    let state = Self.model().stateDict()
    #expect(lines.count == state.count + 1)
    #expect(lines.contains { $0.hasPrefix("conv1.weight ") && $0.hasSuffix("float32  [16, 1, 3, 3]") })
    #expect(lines.last == "\(state.count) entries, \(state.parameterCount) parameters, \(state.byteCount) bytes")
  }
}
