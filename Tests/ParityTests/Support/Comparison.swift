import Foundation
import Residual

/// |value - expected| / |expected| in the Euclidean norm, computed in double; |value| where the expected norm is 0.
func relativeError(_ value: TensorData, to expected: TensorData) -> Double {
  guard value.shape == expected.shape else { return .infinity }
  let (actual, wanted) = (value.scalars(as: Double.self), expected.scalars(as: Double.self))
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(actual, wanted) {
    difference += (a - b) * (a - b)
    norm += b * b
  }
  return norm > 0 ? (difference / norm).squareRoot() : actual.reduce(0) { $0 + $1 * $1 }.squareRoot()
}

/// One result beside PyTorch's: relative L2 errors against the float64 run.
struct Comparison: Sendable {
  /// `output`, `input_grad`, `grad.KEY`, `buffer.KEY`.
  let name: String
  /// Our error.
  let ours: Double
  /// The error of PyTorch's own run in the same precision.
  let torch: Double
  /// The largest error allowed.
  let bound: Double

  /// What every layer has to reach.
  static let layerBound = 1e-6
  /// The distance of two neighbouring float32 numbers, 1.2e-7 of their size.
  ///
  /// PyTorch's own error can be 0 by luck or because the numbers are exact; an error of one place in the last is no
  /// more than two roundings, whatever it is.
  static let floor = Double(Float.ulpOfOne)

  /// Not worse than twice PyTorch's and than `limit`.
  init(name: String, ours: Double, torch: Double, limit: Double = .infinity) {
    self.name = name
    self.ours = ours
    self.torch = torch
    bound = min(max(2 * torch, Self.floor), limit)
  }

  /// False for NaN too.
  var passes: Bool { ours <= bound }

  /// The results of a case beside the reference's, those first that miss their bound by most.
  ///
  /// - Throws: `ReferenceError` if a result is missing or not in the reference.
  static func all(
    _ results: StateDict, of parityCase: ParityCase, _ content: ParityCase.Content, in precision: Precision = .float32
  ) throws -> [Comparison] {
    let (expected, single) = (content.part("expected"), content.part(precision == .float32 ? "torch32" : "torch16"))
    let limit = parityCase.isNetwork || precision == .bfloat16 ? .infinity : layerBound
    let names = Set(results.keys).subtracting([ParityCase.inferenceOutput])
    let difference = names.symmetricDifference(expected.keys)
    guard difference.isEmpty else {
      throw ReferenceError(
        description: "\(parityCase.name): only one side, PyTorch or ours, has the results \(difference.sorted())")
    }
    let comparisons = results.compactMap { name, value -> Comparison? in
      let reference = name == ParityCase.inferenceOutput ? "output" : name
      guard let wanted = expected[reference], let torch = single[reference] else { return nil }
      return Comparison(
        name: name, ours: relativeError(value, to: wanted), torch: relativeError(torch, to: wanted), limit: limit)
    }
    return comparisons.sorted { $0.excess > $1.excess }
  }

  private var excess: Double { ours.isNaN ? .infinity : ours / bound }
}

extension Comparison: CustomStringConvertible {
  var description: String {
    "\(name): relative L2 error \(ours.short), allowed \(bound.short) (PyTorch's own is \(torch.short))"
  }
}

extension Double {
  /// Two significant digits: `3.1e-07`.
  var short: String { String(format: "%.1e", self) }
}
