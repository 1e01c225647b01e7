import Foundation
import Residual
import Synchronization

/// The largest errors of each kind of layer in each precision, ours and PyTorch's, written as Markdown to the file that
/// `RESIDUAL_LEDGER` names.
enum ParityLedger {
  private struct Errors {
    var ours = 0.0
    var torch = 0.0
  }

  private struct Row {
    var cases = 0
    var columns: [String: Errors] = [:]
  }

  private struct State {
    var rows: [(kind: String, row: Row)] = []
    var curve: [String] = []
  }

  private static let state = Mutex(State())
  private static let columns = [
    ("output", "output"), ("input_grad", "input gradient"), ("grad", "parameter gradients"),
    ("buffer", "running statistics"),
  ]

  /// Adds a case and writes the tables anew, so that they are complete after the last case.
  static func record(
    _ parityCase: ParityCase, _ comparisons: [Comparison], in precision: Precision = .float32
  ) throws {
    try update { state in
      let kind = parityCase.kind + (precision == .bfloat16 ? ", bfloat16" : "")
      let index = state.rows.firstIndex { $0.kind == kind } ?? state.rows.endIndex
      if index == state.rows.endIndex { state.rows.append((kind, Row())) }
      state.rows[index].row.cases += 1
      for comparison in comparisons {
        let column = String(comparison.name.prefix { $0 != "." })
        var errors = state.rows[index].row.columns[column] ?? Errors()
        errors.ours = max(errors.ours, comparison.ours)
        errors.torch = max(errors.torch, comparison.torch)
        state.rows[index].row.columns[column] = errors
      }
    }
  }

  /// Adds the loss curve, a row a step.
  static func record(_ curve: LossCurve, _ losses: [Double]) throws {
    try update { state in
      state.curve = zip(losses.indices, losses).map { step, loss in
        let differences = [curve.float32[step], curve.float32ChannelsLast[step], loss].map {
          abs($0 - curve.float64[step]).short
        }
        return "| \(step + 1) | \(String(format: "%.6f", curve.float64[step])) | "
          + differences.joined(separator: " | ") + " | \(curve.bounds[step].short) |"
      }
    }
  }

  private static func update(_ change: (inout State) -> Void) throws {
    let text = state.withLock { state in
      change(&state)
      return markdown(state.rows) + (state.curve.isEmpty ? "" : markdown(state.curve))
    }
    if let path = ProcessInfo.processInfo.environment["RESIDUAL_LEDGER"] {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
  }

  private static func markdown(_ curve: [String]) -> String {
    """

    Losses of SGD steps on MNIST: PyTorch's in float64 and how far others are from it.

    | step | float64 | PyTorch float32 | PyTorch float32, channels last | ours | allowed |
    |---:|---:|---:|---:|---:|---:|
    \(curve.joined(separator: "\n"))

    """
  }

  private static func markdown(_ rows: [(kind: String, row: Row)]) -> String {
    var lines = [
      "Largest relative L2 error against PyTorch in float64: ours / PyTorch's own.", "",
      "| layer | cases | \(columns.map(\.1).joined(separator: " | ")) |",
      "|---|---:|" + String(repeating: "---|", count: columns.count),
    ]
    for (kind, row) in rows {
      let cells = columns.map { key, _ in
        row.columns[key].map { "\($0.ours.short) / \($0.torch.short)" } ?? ""
      }
      lines.append("| \(kind) | \(row.cases) | \(cells.joined(separator: " | ")) |")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension ParityCase {
  /// The ledger's row: the kind of layer, or the model and mode of a network.
  fileprivate var kind: String {
    guard layer == "resnet", let model = arguments.model else { return layer.replacing("_", with: " ") }
    return isNetwork ? "\(model), \(mode)" : model
  }
}
