import ResidualTensor

/// Zeroes elements at random in training and scales the others up; the identity in evaluation.
///
/// PyTorch: `torch.nn.Dropout` (Srivastava et al. 2014).
public final class Dropout: Module, Layer {
  /// Share of elements that become zero.
  public let probability: Double
  private let generator: Generator

  /// Half of the elements unless told otherwise.
  public init(_ probability: Double = 0.5, generator: Generator = .default) {
    precondition((0...1).contains(probability), "Dropout: \(probability) is no probability")
    self.probability = probability
    self.generator = generator
  }

  /// Any shape.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    isTraining && probability > 0 ? dropout(x, probability: probability, generator: generator) : x
  }

  /// The probability.
  public override var argumentDescription: String { "\(probability)" }
}
