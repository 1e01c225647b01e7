import Foundation
import ResidualTraining
import Testing

@Suite("Metrics")
struct MetricsTests {
  @Test("Loss, accuracy and macro F1 by hand")
  func byHand() {
    var metrics = ClassificationMetrics(classes: 3)
    metrics.add(meanLoss: 1, predictions: [0, 1, 1], labels: [0, 0, 1])
    metrics.add(meanLoss: 2, predictions: [1, 0], labels: [1, 2])
    #expect(metrics.images == 5)
    #expect(abs(metrics.loss - 7.0 / 5) < 1e-12)
    #expect(abs(metrics.accuracy - 3.0 / 5) < 1e-12)
    // Class 0: 1 hit, 1 false, 1 missed, 1/2. Class 1: 2 hits, 1 false, 4/5. Class 2: never right, 0.
    // scikit-learn: f1_score([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], average="macro") is 0.43333.
    #expect(abs(metrics.f1 - (0.5 + 0.8 + 0) / 3) < 1e-12)
    #expect(metrics.confusion == [1, 1, 0, 0, 2, 0, 1, 0, 0])
  }

  @Test("A class that is neither present nor predicted is left out of the mean, one that is only predicted counts as 0")
  func absentClasses() {
    var metrics = ClassificationMetrics(classes: 10)
    metrics.add(meanLoss: 0, predictions: [0, 7], labels: [0, 0])
    // scikit-learn: f1_score([0, 0], [0, 7], average="macro") is 0.33333.
    #expect(abs(metrics.f1 - (2.0 / 3 + 0) / 2) < 1e-12)
  }

  @Test("All right is 1, nothing seen is 0")
  func extremes() {
    var metrics = ClassificationMetrics(classes: 4)
    #expect(metrics.loss == 0 && metrics.accuracy == 0 && metrics.f1 == 0 && metrics.images == 0)
    metrics.add(meanLoss: 0.5, predictions: [3, 1, 2], labels: [3, 1, 2])
    #expect(metrics.accuracy == 1 && metrics.f1 == 1 && metrics.loss == 0.5)
  }
}
