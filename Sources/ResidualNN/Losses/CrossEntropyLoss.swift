import ResidualTensor

/// Softmax and cross-entropy in one, the mean over a batch, stable for large logits.
///
/// PyTorch: `torch.nn.CrossEntropyLoss`.
public final class CrossEntropyLoss: Module {
  /// Loss of logits `[N, classes]` against class indices.
  public func callAsFunction(_ logits: Tensor, _ labels: [Int]) -> Tensor { crossEntropy(logits, labels) }

  /// Loss of logits `[N, classes]` against probabilities of the same shape.
  public func callAsFunction(_ logits: Tensor, probabilities: Tensor) -> Tensor {
    crossEntropy(logits, probabilities: probabilities)
  }
}
