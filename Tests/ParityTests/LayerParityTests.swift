import Residual
import Testing

extension Parity {
  /// Output, input gradient, parameter gradients and running statistics of each layer, block and network against
  /// PyTorch in float64.
  @Test("A layer computes what PyTorch computes", arguments: try ParityCase.all())
  func layers(_ parityCase: ParityCase) throws {
    let content = try parityCase.content()
    let results = try parityCase.run(content)
    let comparisons = try Comparison.all(results, of: parityCase, content)
    try ParityLedger.record(parityCase, comparisons)
    let failures = comparisons.filter { !$0.passes }
    guard !failures.isEmpty else { return }
    let dump = try FailureDump(of: parityCase, content, results: results)
    let shown = failures.prefix(5).map { "\n  \($0)" }.joined()
    Issue.record(
      "\(parityCase.name): \(failures.count) of \(comparisons.count) results are off:\(shown)\n\(dump.message)")
  }
}
