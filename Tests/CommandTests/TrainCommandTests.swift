import Foundation
import Residual
import Testing

@Suite("resnet train and fine-tune")
struct TrainCommandTests {
  private let data: TinyMNIST
  private let folder: TemporaryFolder

  init() throws {
    data = try TinyMNIST()
    folder = try TemporaryFolder()
  }

  private func train(_ arguments: String...) throws -> Command {
    try Command(["train", "--data", data.path, "--model", "small-cnn", "--batch-size", "8", "--json"] + arguments)
  }

  @Test("With --json standard output is the contract and nothing else")
  func jsonLines() throws {
    let command = try train("--epochs", "2")
    #expect(command.errors == "")
    let objects = try command.objects()
    #expect(
      objects.map { $0["event"] }
        == Array(repeating: ["step", "step", "step", "epoch", "epoch"], count: 2).flatMap { $0 })
    let steps = objects.filter { $0["event"] == "step" }
    for (index, step) in steps.enumerated() {
      #expect(step.keys == ["event", "epoch", "step", "loss", "images_per_second"])
      #expect(try step.integer("step") == index + 1)
      #expect(try step.integer("epoch") == index / 3)
      #expect(try step.number("loss") > 0)
      #expect(try step.number("images_per_second") > 0)
    }
    let epochs = objects.filter { $0["event"] == "epoch" }
    #expect(epochs.map { $0["phase"] } == ["train", "test", "train", "test"])
    for (index, epoch) in epochs.enumerated() {
      #expect(epoch.keys == ["event", "epoch", "phase", "loss", "accuracy", "f1", "seconds"])
      #expect(try epoch.integer("epoch") == index / 2)
      #expect(try epoch.number("loss") > 0)
      #expect(try (0...1).contains(epoch.number("accuracy")))
      #expect(try (0...1).contains(epoch.number("f1")))
      #expect(try epoch.number("seconds") > 0)
    }
  }

  @Test("For people: what is trained, progress, phases, files, in plain lines where nobody watches")
  func plainLines() throws {
    let path = folder.file("out.h5")
    let command = try Command(
      "train", "--data", data.path, "--model", "small-cnn", "--batch-size", "8", "--epochs", "2", "--checkpoint", path)
    #expect(command.status == 0)
    #expect(command.errors == "")
    #expect(!command.output.contains("\r") && !command.output.contains("\u{1B}"))
    let lines = command.output.split(separator: "\n")
    #expect(lines.first?.contains("small-cnn on") == true)
    #expect(lines.first?.contains("20 images of 32x32, batches of 8") == true)
    #expect(lines.contains { $0.hasPrefix("epoch 0  3/3  loss ") && $0.contains("images/s") && $0.hasSuffix(" left") })
    #expect(lines.contains { $0.hasPrefix("epoch 1 train: loss ") && $0.contains("accuracy") && $0.contains("F1") })
    #expect(lines.contains { $0.hasPrefix("epoch 1 test: loss ") })
    #expect(lines.count { $0 == "wrote \(path)" } == 2)
  }

  @Test("The library gives the same losses: seed, order, optimizer, normalisation and size mean what they say")
  func sameAsLibrary() throws {
    let command = try train(
      "--epochs", "2", "--seed", "7", "--optimizer", "sgd", "--lr", "0.05", "--momentum", "0.5", "--mean", "0.5",
      "--std", "0.25", "--image-size", "30", "--limit", "18")
    let images = try DatasetSource(data.path).load(.train).prefix(18)
    let loader = try DataLoader(
      images, batchSize: 8, order: .shuffled(seed: 7), imageSize: 30, mean: [0.5], std: [0.25])
    let model = Generator.withDefault(Generator(seed: 7)) { SmallCNN(imageSize: 30) }
    let optimizer = try SGD(model.parameters(), learningRate: 0.05, momentum: 0.5)
    var expected: [Double] = []
    for epoch in 0..<2 {
      for batch in loader.epoch(epoch) {
        optimizer.zeroGradients()
        let loss = crossEntropy(model(batch.images), batch.labels)
        loss.backward()
        optimizer.step()
        expected.append(Double(loss.item))
      }
    }
    #expect(try command.losses() == expected)
  }

  @Test("The same seed gives the same losses, on one thread or two; another seed gives others")
  func determinism() throws {
    let arguments = [
      "train", "--data", data.path, "--model", "cifar-resnet20", "--batch-size", "8", "--steps", "3", "--json",
      "--seed",
    ]
    let first = try Command(arguments + ["1", "--threads", "2"]).losses()
    #expect(first.count == 3)
    #expect(try Command(arguments + ["1", "--threads", "2"]).losses() == first)
    #expect(try Command(arguments + ["1", "--threads", "1"]).losses() == first)
    #expect(try Command(arguments + ["2", "--threads", "2"]).losses() != first)
  }

  @Test("--steps ends the run where it says, --epochs too, and without --epochs steps go on over epochs")
  func steps() throws {
    let events = { (command: Command) in try command.objects().map { $0["phase"] ?? $0["event"] ?? "" } }
    #expect(try events(train("--steps", "2")) == ["step", "step", "train", "test"])
    #expect(try events(train("--steps", "4", "--epochs", "1")) == ["step", "step", "step", "train", "test"])
    #expect(
      try events(train("--steps", "4")) == ["step", "step", "step", "train", "test", "step", "train", "test"])
  }

  @Test("--limit and --test-limit cut the images; --no-shuffle takes them in the file's order")
  func limits() throws {
    #expect(try train("--limit", "9").losses().count == 2)
    let cut = try train("--limit", "9", "--test-limit", "1").objects()
    let tested = try #require(cut.last)
    #expect([0, 1].contains(try tested.number("accuracy")))
    #expect(try train("--limit", "1000").losses().count == 3)

    let ordered = try train("--no-shuffle", "--seed", "3", "--steps", "1").losses()
    let model = Generator.withDefault(Generator(seed: 3)) { SmallCNN(imageSize: 32) }
    let loader = try DataLoader(DatasetSource(data.path).load(.train), batchSize: 8, order: .sequential)
    let batch = loader.batch(of: Array(0..<8)[...])
    #expect(ordered == [Double(crossEntropy(model(batch.images), batch.labels).item)])
  }

  @Test("The checkpoint is a state dict of the trained weights, and replaces the one before")
  func checkpoint() throws {
    let path = folder.file("weights.h5")
    _ = try train("--epochs", "1", "--checkpoint", path).objects()
    let first = try StateDict(contentsOf: path)
    _ = try train("--epochs", "2", "--checkpoint", path).objects()
    let second = try StateDict(contentsOf: path)
    #expect(first.keys == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"])
    #expect(first != second)
    try SmallCNN(imageSize: 32).load(second)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["weights.h5"])
  }

  @Test("A run that is resumed goes on with the losses of the run that was never stopped")
  func resume() throws {
    let path = folder.file("run.h5")
    let whole = try train("--steps", "5", "--seed", "4").losses()
    let first = try train("--steps", "2", "--seed", "4", "--checkpoint", path).losses()
    let rest = try Command("train", "--resume", path, "--data", data.path, "--steps", "5", "--json").losses()
    #expect(first + rest == whole)
    let changed = try Command("train", "--resume", path, "--data", data.path, "--batch-size", "4", "--json")
    #expect(changed.status == 64 && changed.output == "")
    #expect(changed.errors.contains("--batch-size 8, not 4"))
  }

  @Test("fine-tune goes on from a file; what was replaced and adapted is said, with --json on standard error")
  func fineTune() throws {
    let (weights, out) = (folder.file("rgb.h5"), folder.file("out.h5"))
    let source = CIFARResNet(layers: 20, inputChannels: 3, classes: 100)
    try source.stateDict().write(to: weights)
    let arguments = [
      "fine-tune", "--weights", weights, "--data", data.path, "--model", "cifar-resnet20", "--batch-size", "10",
      "--lr", "0", "--steps", "1", "--checkpoint", out,
    ]
    let command = try Command(arguments + ["--json"])
    #expect(try command.objects().count == 3)
    #expect(command.errors.split(separator: "\n").count == 1)
    let plain = try Command(arguments)
    #expect(plain.errors == "")
    for text in [command.errors, plain.output] {
      #expect(text.contains("replaced, left as in the model (2): linear.weight, linear.bias"))
      #expect(text.contains("adapted (1): conv1.weight from [16, 3, 3, 3] to [16, 1, 3, 3]"))
    }
    // With a learning rate of 0 the weights are those of the file.
    let state = try StateDict(contentsOf: out)
    #expect(state["layer3.2.conv2.weight"] == source.stateDict()["layer3.2.conv2.weight"])
    #expect(state["linear.weight"]?.shape == [10, 64])
    #expect(state["bn1.num_batches_tracked"]?.scalars(as: Int64.self) == [1])
  }

  @Test("A network of the family trains on the default size")
  func resnet18() throws {
    let command = try Command(
      "train", "--data", data.path, "--model", "resnet18", "--batch-size", "10", "--steps", "1", "--limit", "10",
      "--test-limit", "2", "--json")
    #expect(try command.losses().count == 1)
  }

  @Test("--train-only trains these modules alone, also after --resume, which does not take others")
  func trainOnly() throws {
    let (first, second) = (folder.file("first.h5"), folder.file("second.h5"))
    let initial = Generator.withDefault(Generator(seed: 0)) { SmallCNN(imageSize: 32) }.stateDict()
    func changed(_ path: String) throws -> [String] {
      let state = try StateDict(contentsOf: path)
      return initial.keys.filter { state[$0] != initial[$0] }
    }
    #expect(try train("--train-only", "fc", "--steps", "1", "--checkpoint", first).status == 0)
    #expect(try changed(first) == ["fc.weight", "fc.bias"])
    #expect(try train("--resume", first, "--steps", "2", "--checkpoint", second).status == 0)
    #expect(try changed(second) == ["fc.weight", "fc.bias"])
    let other = try train("--resume", first, "--train-only", "conv", "--steps", "3")
    #expect(other.status != 0)
    #expect(other.errors.contains(#"the checkpoint's run has --train-only ["fc"], not ["conv"]"#), "\(other.errors)")
    let unknown = try train("--train-only", "head")
    #expect(unknown.status == 1 && unknown.output == "")
    #expect(unknown.errors.contains("SmallCNN has no module 'head' to train; it has conv, fc"), "\(unknown.errors)")
  }

  @Test("--recompute changes no loss")
  func recompute() throws {
    let usual = ["train", "--data", data.path, "--model", "cifar-resnet20", "--batch-size", "8", "--json"]
    let losses = try Command(usual).losses()
    #expect(losses.count == 3)
    #expect(try Command(usual + ["--recompute"]).losses() == losses)
  }
}
