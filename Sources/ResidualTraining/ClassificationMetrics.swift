/// Loss, accuracy and macro F1 over everything seen so far.
public struct ClassificationMetrics: Sendable, Equatable, Codable {
  /// Number of classes.
  public let classes: Int
  /// Sum of the losses of all images.
  public private(set) var lossSum = 0.0
  /// Row: true class; column: predicted class.
  public private(set) var confusion: [Int]

  /// Nothing seen yet.
  public init(classes: Int) {
    self.classes = classes
    confusion = Array(repeating: 0, count: classes * classes)
  }

  /// Whether the counts are those of so many classes; what is decoded from a file may be anything.
  var isConsistent: Bool { confusion.count == classes * classes && confusion.allSatisfy { $0 >= 0 } }

  /// Adds a batch: its mean loss, and the predicted and true class of each image.
  public mutating func add(meanLoss: Double, predictions: [Int], labels: [Int]) {
    lossSum += meanLoss * Double(labels.count)
    for (prediction, label) in zip(predictions, labels) { confusion[label * classes + prediction] += 1 }
  }

  /// Images seen.
  public var images: Int { confusion.reduce(0, +) }
  /// Mean loss an image.
  public var loss: Double { images == 0 ? 0 : lossSum / Double(images) }
  /// Share of images whose class was predicted.
  public var accuracy: Double {
    let right = (0..<classes).reduce(0) { $0 + confusion[$1 * classes + $1] }
    return images == 0 ? 0 : Double(right) / Double(images)
  }

  /// Mean over the classes of 2 TP / (2 TP + FP + FN); classes neither present nor predicted are left out, as in
  /// scikit-learn's `f1_score(average: "macro")`.
  public var f1: Double {
    var scores: [Double] = []
    for c in 0..<classes {
      let hits = confusion[c * classes + c]
      let labelled = (0..<classes).reduce(0) { $0 + confusion[c * classes + $1] }
      let predicted = (0..<classes).reduce(0) { $0 + confusion[$1 * classes + c] }
      if labelled + predicted > 0 { scores.append(2 * Double(hits) / Double(labelled + predicted)) }
    }
    return scores.isEmpty ? 0 : scores.reduce(0, +) / Double(scores.count)
  }
}
