import Foundation
import Residual
import Testing

@Suite("resnet export, and fine-tune --with-optimizer")
struct ExportCommandTests {
  private let data: TinyMNIST
  private let folder: TemporaryFolder

  init() throws {
    data = try TinyMNIST()
    folder = try TemporaryFolder()
  }

  private func train(_ verb: String, _ arguments: [String]...) throws -> Command {
    try Command([verb, "--data", data.path, "--batch-size", "8", "--json"] + arguments.flatMap { $0 })
  }

  @Test(
    "The optimizer comes back from PyTorch's form: the run goes on as if it had never left",
    arguments: [["adam"], ["adamw"], ["sgd", "--momentum", "0.9"]])
  func roundTrip(optimizer: [String]) throws {
    let (run, handed) = (folder.file("run.h5"), folder.file("run.pth"))
    // Batches in the file's order, two steps an epoch of two batches: the next step is the same with and without.
    let common = ["--limit", "16", "--no-shuffle", "--model", "small-cnn", "--test-limit", "1"]
    let chosen = ["--optimizer"] + optimizer
    let whole = try train("train", common, chosen, ["--steps", "4"]).losses()
    _ = try train("train", common, chosen, ["--steps", "2", "--checkpoint", run]).objects()
    #expect(try Command("export", run, handed, "--optimizer").status == 0)
    let next = ["--weights", handed, "--steps", "2"]
    let continued = try train("fine-tune", common, next, ["--with-optimizer"]).losses()
    #expect(continued == Array(whole[2...]))
    let cold = try train("fine-tune", common, next, chosen).losses()
    #expect(cold != Array(whole[2...]))
  }

  @Test("Without --optimizer the file is the state dict; the tree has PyTorch's layout with it")
  func layout() throws {
    let (run, plain, both) = (folder.file("run.h5"), folder.file("plain.pth"), folder.file("both.pth"))
    _ = try train("train", ["--steps", "1", "--model", "small-cnn", "--checkpoint", run]).objects()
    #expect(try Command("export", run, plain).status == 0)
    #expect(try Command("export", run, both, "--optimizer").status == 0)
    #expect(try StateDict(contentsOf: plain) == StateDict(contentsOf: run))
    let tree = try PyTorchFile.read(both)
    #expect(tree["step"] == .int(1))
    guard case .list(let groups)? = tree["optimizer"]?["param_groups"] else {
      Issue.record("no param_groups")
      return
    }
    #expect(groups.first?["params"] == .list((0..<4).map { .int($0) }))
    #expect(tree["optimizer"]?["state"]?[.int(3)]?["step"] == .tensor(TensorData([1 as Float], shape: [])))
  }

  @Test("What can't be handed over is one line and a status")
  func failures() throws {
    let weights = folder.file("weights.h5")
    try SmallCNN(imageSize: 32).stateDict().write(to: weights)
    try SmallCNN(imageSize: 32).stateDict().write(to: folder.file("weights.pth"))
    let cases: [([String], Int32, String)] = [
      (["export", weights, folder.file("out.pth")], 1, "no training state"),
      (["export", weights, folder.file("out.h5")], 64, "ends in .pth"),
      (
        [
          "fine-tune", "--weights", folder.file("weights.pth"), "--with-optimizer", "--data", data.path, "--model",
          "small-cnn",
        ], 1, "optimizer"
      ),
      (["fine-tune", "--resume", weights, "--with-optimizer"], 64, "--with-optimizer"),
    ]
    for (arguments, status, words) in cases {
      let command = try Command(arguments)
      #expect(command.status == status, "\(arguments): \(command.errors)")
      #expect(command.errors.split(separator: "\n").last?.contains(words) == true, "\(command.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.file("out.pth")))
    }
  }
}
