import ResidualNN
import ResidualState
import ResidualVision
import Testing

@testable import ResidualTensor

extension Tensor {
  /// How many operations are recorded on the way here.
  fileprivate var recordedOperations: Int { node?.ancestry(after: 0).newer.count { !$0.isLeaf } ?? 0 }
}

private let labels = [0, 1, 2, 3]

private func images() -> Tensor {
  Tensor((0..<4 * 3 * 32 * 32).map { Float($0 * 7919 % 255) / 255 }, shape: [4, 3, 32, 32])
}

/// What a computation has recorded, and the bytes that it keeps beside its input.
private func cost(_ body: () -> Tensor) -> (operations: Int, bytes: Int) {
  let before = MemoryPool.bytesInUse
  let y = body()
  return (y.recordedOperations, MemoryPool.bytesInUse - before)
}

/// The pool is shared by the whole process: what counts its bytes runs in a process of its own.
@Suite("Frozen parts cost nothing")
struct FrozenNetworkTests {
  @Test("With all but the head frozen, a step records and keeps what the head alone does", arguments: [false, true])
  func headAlone(recomputes: Bool) async {
    await #expect(processExitsWith: .success) { [recomputes] in
      let model = resnet18(classes: 10)
      model.recomputesBlocks = recomputes
      try model.freeze(allBut: ["fc"])
      _ = model(images())  // what is derived from the weights stays
      let x = images()
      let features = cost { Tensor(repeating: 1, shape: [4, 512]) }
      let head = cost { model.fc(Tensor(repeating: 1, shape: [4, 512])) }
      let whole = cost { model(x) }
      #expect(features.operations == 0 && head.operations > 0)
      #expect(whole.operations == head.operations)
      #expect(whole.bytes == head.bytes)
    }
  }

  @Test("With stem and first stages frozen, a step records and keeps what the stages above do")
  func upperStages() async {
    await #expect(processExitsWith: .success) {
      let model = resnet18(classes: 10)
      try model.freeze(allBut: ["layer4", "fc"])
      let layer4 = try #require(model.children.first { $0.key == "layer4" }?.module as? Sequential)
      func upper(_ x: Tensor) -> Tensor { model.fc(globalAveragePooling2d(layer4(x)).flattened()) }
      let x = images()
      _ = model(x)
      // Stem, pooling and two stages divide 32 by 16.
      let above = cost { upper(Tensor(repeating: 1, shape: [4, 256, 2, 2])) }
      let whole = cost { model(x) }
      #expect(above.operations > 10)
      #expect(whole.operations == above.operations)
      #expect(whole.bytes == above.bytes)
      model.unfreeze()
      _ = model(x)  // what was derived from the frozen weights goes
      let all = cost { model(x) }
      #expect(all.operations > 2 * whole.operations)
      #expect(all.bytes > 4 * whole.bytes)
    }
  }

  @Test("A frozen batch norm above a layer that is trained keeps no activations")
  func frozenBatchNorm() async {
    await #expect(processExitsWith: .success) {
      let conv = Conv2d(3, 16, kernelSize: 1)
      let norm = BatchNorm2d(16)
      norm.freeze()
      let x = images()
      _ = conv(x)  // what is derived from the weight stays
      let convolution = cost { conv(x) }
      let both = cost { norm(conv(x)) }
      #expect(both.operations == 2)
      // Scale, shift and deviation of 16 channels.
      #expect(both.bytes <= convolution.bytes + 1024)
      norm.unfreeze()
      #expect(cost { norm(conv(x)) }.bytes > both.bytes + 4 * 16 * 32 * 32 * MemoryLayout<Float>.stride)
    }
  }

  @Test("A frozen batch norm gives its input the gradient that one in evaluation gives", arguments: [false, true])
  func frozenGradients(relu: Bool) throws {
    func gradients(trained: Bool) throws -> [[Float]] {
      let norm = BatchNorm2d(3)
      for _ in 0..<3 { _ = norm(images()) }  // running statistics that are not the initial ones
      if trained { norm.eval() } else { norm.freeze() }
      let x = images().requiringGrad()
      let residual = (images() * -0.75).requiringGrad()
      norm(x, tail: BatchNormTail(adding: residual, relu: relu)).backward(images() * 0.5)
      #expect((norm.weight?.grad == nil) == !trained)
      return try [#require(x.grad).scalars, #require(residual.grad).scalars]
    }
    #expect(try gradients(trained: false) == gradients(trained: true))
  }

  @Test("Below the head, training computes what evaluation computes, and changes nothing")
  func sameAsEvaluation() throws {
    let model = resnet18(classes: 10)
    for _ in 0..<3 { _ = model(images()) }  // running statistics that are not the initial ones
    try model.freeze(allBut: ["fc"])
    let before = model.stateDict()
    let expected = model.evaluating { withoutRecording { model(images()) } }
    let optimizer = try Adam(model.parameters())
    #expect(model.isTraining)
    let logits = model(images())
    #expect(logits.scalars == expected.scalars)
    crossEntropy(logits, labels).backward()
    optimizer.step()
    let trained = model.namedParameters().filter { $0.parameter.grad != nil }.map(\.key)
    #expect(trained == ["fc.weight", "fc.bias"])
    #expect(optimizer.moments.count { $0 != nil } == 2)
    let after = model.stateDict()
    #expect(before.keys.filter { before[$0] != after[$0] } == ["fc.weight", "fc.bias"])
  }

  @Test("Parts are named by whole paths, and the choice replaces the one before")
  func paths() throws {
    let model = CIFARResNet(layers: 80)  // has layer1.1 and layer1.10
    func trained() -> Set<String> {
      Set(model.namedParameters().filter(\.parameter.requiresGrad).map { String($0.key.prefix(9)) })
    }
    try model.freeze(allBut: ["layer1.1", "linear"])
    #expect(trained() == ["layer1.1.", "linear.we", "linear.bi"])
    try model.freeze(allBut: ["layer1.10"])
    #expect(trained() == ["layer1.10"])
    model.unfreeze()
    #expect(model.parameters().allSatisfy { $0.requiresGrad })
  }

  @Test(
    "A name that is none, or has nothing to train, is refused and changes nothing",
    arguments: [
      (["head"], "ResNet has no module 'head' to train; it has conv1, bn1, maxpool, layer1, layer2, layer3, layer4"),
      (["fc", "layer5"], "no module 'layer5'"), (["layer1.2"], "no module 'layer1.2'"),
      (["fc.weight"], "no module 'fc.weight'"), (["maxpool"], "maxpool of ResNet has no parameters"),
      ([], "nothing would be trained"),
    ])
  func refuses(paths: [String], words: String) throws {
    let model = resnet18(classes: 10)
    try model.freeze(allBut: ["layer4"])
    let before = model.parameters().map(\.requiresGrad)
    let error = #expect(throws: StateError.self) { try model.freeze(allBut: paths) }
    #expect(error?.code == .invalidOptions)
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    #expect(model.parameters().map(\.requiresGrad) == before)
  }
}
