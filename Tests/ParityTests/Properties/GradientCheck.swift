import Residual
import Testing

/// Compares the gradients that `backward` brings with central differences, element by element.
///
/// The objective is the sum of the outputs, each times a fixed number, added in double. The difference quotient uses
/// five points, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, whose error is of order h^4: so h can be a large 1/32,
/// at which rounding to float32 costs no more than about 1e-5. (Abramowitz and Stegun 1964, 25.3.6.)
func expectGradients(
  of function: ([Tensor]) -> Tensor, at inputs: [Tensor], step h: Float = 1 / 32, tolerance: Double = 1e-4,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let leaves = inputs.map { $0.requiringGrad() }
  let output = function(leaves)
  let weights = randomTensor(output.shape, seed: 99)
  output.backward(weights)
  let upstream = weights.scalars.map(Double.init)

  func objective(_ changed: [Tensor]) -> Double {
    withoutRecording { zip(function(changed).scalars, upstream).reduce(0) { $0 + Double($1.0) * $1.1 } }
  }

  for (position, input) in inputs.enumerated() {
    guard let gradient = leaves[position].grad else {
      Issue.record("input \(position) has no gradient", sourceLocation: sourceLocation)
      continue
    }
    #expect(gradient.shape == input.shape, sourceLocation: sourceLocation)
    let scalars = input.scalars
    let numeric = scalars.indices.map { index in
      func value(_ offset: Float) -> Double {
        var (moved, changed) = (scalars, inputs)
        moved[index] += offset
        changed[position] = Tensor(moved, shape: input.shape)
        return objective(changed)
      }
      return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * Double(h))
    }
    let scale = numeric.map(abs).max() ?? 0
    for (index, (wanted, actual)) in zip(numeric, gradient.scalars).enumerated() {
      #expect(
        abs(wanted - Double(actual)) <= tolerance * max(scale, 1e-2),
        "input \(position), element \(index): backward gives \(actual), differences give \(wanted)",
        sourceLocation: sourceLocation)
    }
  }
}

/// Standard normal numbers.
func randomTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  var scalars = [Float](repeating: 0, count: shape.elementCount)
  scalars.withUnsafeMutableBufferPointer { Generator(seed: seed).normal(into: $0) }
  return Tensor(scalars, shape: shape)
}

/// The numbers ±1/8, ±3/8, ±5/8, ...
///
/// in random order: none nearer to 0 or to another than the differences reach, so that no ReLU and no maximum changes
/// sides.
func spacedTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  let count = shape.elementCount
  let order = Generator(seed: seed).randperm(count)
  return Tensor(order.map { (Float($0 - count / 2) + 0.5) / 4 }, shape: shape)
}
