import ResidualNN
import ResidualTensor
import ResidualVision

/// Runs a model over a data set in evaluation mode, without recording, and leaves its mode as it was.
///
/// - Parameters:
///   - model: The network.
///   - loader: The images; go in the loader's order.
///   - onBatch: Called with the logits `[N, classes]` and labels of each batch.
/// - Throws: `TrainingError` or `ModelError` if the images don't fit the model, `TrainingError` if a loss is not finite, or
///   what `onBatch` throws.
public func evaluate(
  _ model: any ImageClassifier, on loader: DataLoader, onBatch: (Tensor, [Int]) throws -> Void = { _, _ in }
) throws -> ClassificationMetrics {
  try loader.requireFit(to: model, isTraining: false)
  var metrics = ClassificationMetrics(classes: model.classes)
  try withoutRecording {
    try model.evaluating {
      for batch in loader.epoch(0) {
        let logits = model(batch.images)
        let loss = Double(crossEntropy(logits, batch.labels).item)
        guard loss.isFinite else {
          throw TrainingError(
            code: .lossNotFinite,
            message:
              "the loss of the evaluation is \(loss.magnitude): the weights hold or lead to numbers that are not finite; "
              + "go back to weights from before, and train them with a smaller learning rate")
        }
        metrics.add(meanLoss: loss, predictions: logits.argmax(), labels: batch.labels)
        try onBatch(logits, batch.labels)
      }
    }
  }
  return metrics
}

extension Tensor {
  /// The index of the largest element of each row of `[N, classes]`; the first of equals.
  ///
  /// PyTorch: `argmax(1)`.
  func argmax() -> [Int] {
    let values = scalars
    let classes = shape[1]
    return (0..<shape[0]).map { row in
      (0..<classes).reduce(0) { values[row * classes + $1] > values[row * classes + $0] ? $1 : $0 }
    }
  }
}
