import Foundation
import Testing

@testable import ResidualState

@Suite struct PyTorchReadingTests {
  private func read(_ name: String) throws -> StateDict { try StateDict(contentsOf: FormatFixtures.path(name)) }

  private func error(_ name: String) -> StateError? { stateError { _ = try read(name) } }

  @Test(arguments: ["zip.pth", "legacy.pth", "protocol4.pth", "deflated.pth"])
  func readsWhatPyTorchWrites(_ name: String) throws {
    let stateDict = try read(name)
    try FormatFixtures.check(stateDict)
    #expect(stateDict.metadata.isEmpty)
  }

  @Test(arguments: ["nested.pth", "nested-legacy.pth"]) func findsTheStateDict(_ name: String) throws {
    let stateDict = try read(name)
    #expect(stateDict.keys == ["module.zzz.first", "module.aaa.second", "module.view.transposed"])
    #expect(stateDict["module.zzz.first"]?.scalars(as: Float.self) == [0, 1, 2, 3, 4, 5])
    #expect(stateDict.metadata["pytorch.key"] == "state_dict")
    #expect(stateDict.metadata["pytorch.skipped"] == "epoch (int 3), best_prec1 (float 91.5), arch (str)")
  }

  @Test func takesTheModelAndNotItsAverage() throws {
    #expect(try read("with-average.pth").metadata["pytorch.key"] == "model")
    let average = try StateDict(pyTorch: FormatFixtures.path("with-average.pth"), at: "model_ema")
    #expect(average.metadata["pytorch.key"] == "model_ema")
    #expect(average.count == 3)
  }

  @Test func namesTheChoices() throws {
    let ambiguous = error("ambiguous.pth")
    #expect(ambiguous?.code == .invalidOptions)
    #expect(ambiguous?.message.contains("model, state_dict") == true)
    let missing = stateError { _ = try StateDict(pyTorch: FormatFixtures.path("ambiguous.pth"), at: "ema") }
    #expect(missing?.code == .notFound)
    #expect(missing?.key == "ema")
  }

  @Test func readsATrainingCheckpointAsATree() throws {
    let value = try PyTorchFile.read(FormatFixtures.path("training.pth"))
    let optimizer = try #require(value["optimizer"])
    #expect(optimizer["state"]?[.int(0)]?["step"] == .tensor(TensorData([1 as Float], shape: [])))
    guard case .list(let groups) = optimizer["param_groups"] else {
      Issue.record("param_groups is no list")
      return
    }
    #expect(groups.first?["lr"] == .float(0.001))
    #expect(groups.first?["betas"] == .tuple([.float(0.9), .float(0.999)]))
    #expect(groups.first?["params"] == .list([.int(0), .int(1)]))
    #expect(groups.first?["maximize"] == .bool(false))
    #expect(groups.first?["foreach"] == PickleValue.none)
    #expect(
      value["scheduler"]?["milestones"]
        == .dictionary([.init(key: .int(1), value: .int(1)), .init(key: .int(3), value: .int(1))]))
    #expect(try read("training.pth").keys == ["weight", "bias"])
  }

  @Test func saysWhatIsNotRead() {
    let model = error("whole-model.pth")
    #expect(model?.code == .refused)
    #expect(model?.message.contains("torch.nn.modules.container.Sequential") == true)
    #expect(model?.message.contains("torch.save(model.state_dict()") == true)
    #expect(error("script.pt")?.message.contains("TorchScript") == true)
    #expect(error("list.pth")?.code == .wrongFormat)
    #expect(error("sparse.pth")?.message.contains("_rebuild_sparse_tensor") == true)
    #expect(error("complex.pth")?.message.contains("ComplexFloatStorage") == true)
  }
}

/// The third-party checkpoint in the folder that RESIDUAL_WEIGHTS names: legacy format, `module.` before each key.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["RESIDUAL_WEIGHTS"] != nil))
struct ThirdPartyCheckpointTests {
  @Test func readsResNet20() throws {
    let folder = try #require(ProcessInfo.processInfo.environment["RESIDUAL_WEIGHTS"])
    let stateDict = try StateDict(contentsOf: "\(folder)/resnet20-12fca82f.th")
    // Counted in Python: len(state_dict), and the sum of numel of what is no running statistic.
    #expect(stateDict.count == 97)
    #expect(stateDict.parameterCount == 269_722)
    #expect(stateDict.keys.allSatisfy { $0.hasPrefix("module.") })
    #expect(stateDict["module.conv1.weight"]?.shape == [16, 3, 3, 3])
    #expect(stateDict.metadata["pytorch.key"] == "state_dict")
  }
}
