import Foundation
import Residual
import Testing

extension Parity {
  /// A deliberately wrong result is noticed, and what it leaves behind can be replayed on both sides.
  @Test("A failed comparison leaves a dump that replays in Swift and in PyTorch")
  func failureDump() throws {
    let parityCase = try #require(
      try ReferenceFolder.decode(ParityCase.self, from: "cases.json").first { $0.layer == "conv2d" })
    let content = ParityCase.Content(
      try StateDict(contentsOf: ReferenceFolder.url().appending(path: parityCase.file).path))
    var results = try parityCase.run(content)
    #expect(try Comparison.all(results, of: parityCase, content).allSatisfy { $0.passes })

    let gradient = try #require(results["grad.weight"])
    var scalars = gradient.scalars(as: Float.self)
    let wrong = scalars.indices.max { abs(scalars[$0]) < abs(scalars[$1]) } ?? 0
    scalars[wrong] *= 1.0001
    results["grad.weight"] = TensorData(scalars, shape: gradient.shape)
    let comparisons = try Comparison.all(results, of: parityCase, content)
    #expect(comparisons.filter { !$0.passes }.map(\.name) == ["grad.weight"])
    #expect(comparisons[0].name == "grad.weight" && comparisons[0].ours > 1e-6)

    let folder = FileManager.default.temporaryDirectory.appending(path: "residual-dump-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let dump = try FailureDump(of: parityCase, content, results: results, in: folder)
    #expect(dump.message.contains("RESIDUAL_REPLAY=\(dump.url.path)"))
    #expect(dump.message.contains("replay.py \(dump.url.path)"))

    let replayed = ParityCase.Content(try StateDict(contentsOf: dump.url.path))
    #expect(replayed.part("actual") == results)
    let again = try parityCase.run(replayed)
    #expect(try Comparison.all(again, of: parityCase, replayed).allSatisfy { $0.passes })

    let table = try Python.run("tools/reference/replay.py", [dump.url.path])
    let line = try #require(table.split(separator: "\n").first { $0.hasPrefix("grad.weight") })
    let columns = line.split(separator: " ").compactMap { Double($0) }
    #expect(columns.count == 2 && columns[0] > 1e-6 && columns[1] < 1e-6, "replay.py printed \(line)")
  }

  @Test("NaN and other shapes are never close")
  func comparisonCanFail() {
    let one = TensorData([Float(1), 2], shape: [2])
    #expect(relativeError(one, to: one) == 0)
    #expect(relativeError(TensorData([Float(1), 2], shape: [1, 2]), to: one) == .infinity)
    let nan = relativeError(TensorData([Float.nan, 2], shape: [2]), to: one)
    #expect(!Comparison(name: "output", ours: nan, torch: 1).passes)
    #expect(relativeError(TensorData([Float(0.5), 0], shape: [2]), to: TensorData([Float(0), 0], shape: [2])) == 0.5)
    // PyTorch's error does not count where it is large, and ours does not where it is rounding alone.
    #expect(!Comparison(name: "output", ours: 1.1e-6, torch: 1, limit: Comparison.layerBound).passes)
    #expect(!Comparison(name: "output", ours: 2.1e-5, torch: 1e-5).passes)
    #expect(Comparison(name: "output", ours: 0.9e-7, torch: 0).passes)
  }
}
