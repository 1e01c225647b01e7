import CKernels
import Foundation
import Testing

extension KernelTests {
  @Suite struct Softmax {
    /// x - max is a float: where it is near 32, so little does exp know its argument.
    private let rounding = 3e-6
    private let shapes = [(1, 1), (3, 2), (64, 10), (5, 16), (7, 33), (4, 1000)]

    /// Softmax and log(sum(exp(x))) of each row, in double.
    private func softmax(_ x: [Float], classes: Int) -> (probabilities: [Double], logSums: [Double]) {
      var probabilities: [Double] = []
      var logSums: [Double] = []
      for row in stride(from: 0, to: x.count, by: classes) {
        let values = x[row..<row + classes].map { Double($0) }
        let top = values.max() ?? 0
        let sum = values.reduce(0) { $0 + exp($1 - top) }
        probabilities += values.map { exp($0 - top) / sum }
        logSums.append(top + log(sum))
      }
      return (probabilities, logSums)
    }

    /// Rows of ordinary logits, except for one of 1e4 and one of -1e4.
    private func logits(_ rows: Int, _ classes: Int) -> [Float] {
      var x = randomFloats(rows * classes, seed: 81, deviation: 4)
      x[0] = 1e4
      x[x.count - 1] = -1e4
      return x
    }

    @Test func probabilities() {
      for (rows, classes) in shapes {
        let x = logits(rows, classes)
        let wanted = softmax(x, classes: classes).probabilities
        onEveryInstructionSet { isa in
          let y = Guarded<Float>(x.count)
          rk_softmax(x, rows, classes, y.pointer)
          expectClose(y.values, wanted, tolerance: rounding, floor: 1e-30, "\(isa) \(rows)x\(classes)")
          #expect(y.bandsIntact, "\(isa) \(rows)x\(classes)")
        }
      }
    }

    @Test func aNaNSpoilsItsRowAlone() {
      onEveryInstructionSet { isa in
        let y = Guarded<Float>(6)
        rk_softmax([0, .nan, 1, 0, -.infinity, 0], 2, 3, y.pointer)
        expectSame(y.values, [.nan, .nan, .nan, 0.5, 0, 0.5], "\(isa)")
      }
    }

    @Test func backward() {
      for (rows, classes) in shapes {
        let y = softmax(randomFloats(rows * classes, seed: 82), classes: classes).probabilities.map { Float($0) }
        let gradient = randomFloats(rows * classes, seed: 83)
        let wanted = y.indices.map { i in
          let row = i / classes * classes..<(i / classes + 1) * classes
          return Double(y[i]) * (Double(gradient[i]) - row.reduce(0) { $0 + Double(gradient[$1]) * Double(y[$1]) })
        }
        onEveryInstructionSet { isa in
          let gradX = Guarded(gradient)
          rk_softmax_backward(gradX.pointer, y, rows, classes, gradX.pointer)
          expectClose(gradX.values, wanted, tolerance: 1e-6, floor: 1, "\(isa) \(rows)x\(classes)")
          #expect(gradX.bandsIntact, "\(isa) \(rows)x\(classes)")
        }
      }
    }

    @Test func crossEntropy() {
      for (rows, classes) in shapes {
        let x = logits(rows, classes)
        let labels = (0..<rows).map { Int64($0 * 7 % classes) }
        let reference = softmax(x, classes: classes)
        let wanted = (0..<rows).map { reference.logSums[$0] - Double(x[$0 * classes + Int(labels[$0])]) }
        onEveryInstructionSet { isa in
          let probabilities = Guarded<Float>(x.count)
          let losses = Guarded<Float>(rows)
          rk_cross_entropy(x, labels, rows, classes, probabilities.pointer, losses.pointer)
          expectClose(losses.values, wanted, tolerance: 5e-7, floor: 1, "\(isa) \(rows)x\(classes)")
          expectClose(probabilities.values, reference.probabilities, tolerance: rounding, floor: 1e-30, "\(isa)")
          #expect(losses.bandsIntact && probabilities.bandsIntact, "\(isa) \(rows)x\(classes)")
        }
      }
    }

    @Test func crossEntropyOfTargetProbabilities() {
      for (rows, classes) in shapes {
        let x = logits(rows, classes)
        let targets = softmax(randomFloats(rows * classes, seed: 84), classes: classes).probabilities.map { Float($0) }
        let reference = softmax(x, classes: classes)
        let wanted = (0..<rows).map { row in
          (row * classes..<(row + 1) * classes).reduce(0) {
            $0 + Double(targets[$1]) * (reference.logSums[row] - Double(x[$1]))
          }
        }
        onEveryInstructionSet { isa in
          let probabilities = Guarded<Float>(x.count)
          let losses = Guarded<Float>(rows)
          rk_cross_entropy_soft(x, targets, rows, classes, probabilities.pointer, losses.pointer)
          expectClose(losses.values, wanted, tolerance: 1e-6, floor: 1, "\(isa) \(rows)x\(classes)")
          expectClose(probabilities.values, reference.probabilities, tolerance: rounding, floor: 1e-30, "\(isa)")
          #expect(losses.bandsIntact && probabilities.bandsIntact, "\(isa) \(rows)x\(classes)")
        }
      }
    }
  }
}
