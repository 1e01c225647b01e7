import ResidualNN
import ResidualTensor

/// Convolution, ReLU, flatten, linear: the smallest network that learns digits.
public final class SmallCNN: Module, ImageClassifier {
  @Child private var conv: Conv2d
  @Child private var fc: Linear
  private let imageSize: Int
  /// Whether convolution and ReLU are computed again in the backward pass.
  public var recomputesBlocks = false

  /// For square images of `imageSize`.
  public init(inputChannels: Int = 1, classes: Int = 10, imageSize: Int = 28) {
    conv = Conv2d(inputChannels, 32, kernelSize: 3, padding: 1)
    fc = Linear(32 * imageSize * imageSize, classes)
    self.imageSize = imageSize
  }

  /// Channels of the images.
  public var inputChannels: Int { conv.weight.shape[1] }
  /// Number of classes.
  public var classes: Int { fc.weight.shape[0] }

  /// `[N, inputChannels, imageSize, imageSize]` to logits `[N, classes]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    fc(recomputing(if: recomputesBlocks) { [self] in relu(conv(x)).flattened() })
  }

  /// Throws when the images are not of the size the linear layer was made for.
  public func validate(batchSize: Int, imageSize: Size2d, isTraining: Bool) throws {
    guard imageSize == Size2d(self.imageSize) else {
      throw ModelError(
        code: .imageSize,
        message: "small-cnn was made for images of \(self.imageSize)x\(self.imageSize), not "
          + "\(imageSize.height)x\(imageSize.width); its linear layer has a weight a pixel")
    }
  }
}
