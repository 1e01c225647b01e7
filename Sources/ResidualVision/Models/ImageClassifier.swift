import ResidualNN
import ResidualTensor

/// A network from images `[N, C, H, W]` to logits `[N, classes]`, and what it needs of them.
public protocol ImageClassifier: Layer {
  /// Channels of the images.
  var inputChannels: Int { get }
  /// Number of classes.
  var classes: Int { get }
  /// Whether training keeps only what goes into each block and computes the rest again in the backward pass: less
  /// memory for a third more arithmetic, and the same bits.
  var recomputesBlocks: Bool { get set }
  /// Throws `ModelError` when images of this size, or a batch of this many of them, can't be trained or evaluated on.
  func validate(batchSize: Int, imageSize: Size2d, isTraining: Bool) throws
}

/// What a model refuses about its input or its name.
public struct ModelError: Error, Equatable, CustomStringConvertible {
  /// What was wrong.
  public enum Code: Sendable {
    /// No model has this name.
    case unknownModel
    /// Images of this size don't fit.
    case imageSize
    /// The batch leaves one value per channel, which has no variance.
    case oneValuePerChannel
  }

  /// What was wrong.
  public let code: Code
  /// What was wrong, in words, and the way out.
  public let message: String
  /// The message.
  public var description: String { message }
}
