import Residual
import Testing

extension Parity {
  /// The same comparison in mixed precision: our bfloat16 and PyTorch's autocast to it, both against float64.
  ///
  /// The measure is the relative L2 error of each tensor, as in float32. Rounding to bfloat16 is noise of 2e-3 a product,
  /// and in a deep network in training it moves ReLUs and batch statistics until a gradient is mostly noise (PyTorch's
  /// is 0.8 of its length off in ResNet-101); the ratio of two such errors is steady all the same, for a norm over a
  /// whole tensor averages it. The largest measured was 1.6.
  @Test(
    "In bfloat16 a layer is at most twice as far off as PyTorch's",
    arguments: try ParityCase.all().filter { $0.mixedPrecision })
  func mixedPrecision(_ parityCase: ParityCase) throws {
    let content = try parityCase.content()
    let results = try withPrecision(.bfloat16) { try parityCase.run(content) }
    let comparisons = try Comparison.all(results, of: parityCase, content, in: .bfloat16)
    try ParityLedger.record(parityCase, comparisons, in: .bfloat16)
    if parityCase.layer != "conv2d" && parityCase.layer != "linear" {  // which take odd channels in float32
      let output = try #require(comparisons.first { $0.name == "output" })
      #expect(output.ours > 1e-4, "\(parityCase.name) was not computed in bfloat16")
    }
    let failures = comparisons.filter { !$0.passes }
    guard !failures.isEmpty else { return }
    let dump = try FailureDump(of: parityCase, content, results: results, test: "mixedPrecision")
    let shown = failures.prefix(5).map { "\n  \($0)" }.joined()
    Issue.record(
      "\(parityCase.name): \(failures.count) of \(comparisons.count) results are off:\(shown)\n\(dump.message)")
  }
}
