import ResidualTensor

/// Images as the network takes them, and their classes.
public struct ImageBatch {
  /// `[N, C, H, W]`, scaled and normalised.
  public let images: Tensor
  /// `[N]`.
  public let labels: [Int]
}

extension DataLoader {
  /// The batches of an epoch, in its order, each made when it is asked for.
  public func epoch(_ epoch: Int) -> some Sequence<ImageBatch> {
    batches(epoch: epoch).lazy.map { batch(of: $0) }
  }

  /// The images at these indices.
  public func batch(of indices: ArraySlice<Int>) -> ImageBatch {
    let shape = [indices.count, images.channels, imageSize, imageSize]
    let storage = Storage(uninitialized: shape.elementCount)
    storage.mutate { fill($0, with: indices) }
    return ImageBatch(images: Tensor(storage: storage, shape: shape), labels: labels(of: indices))
  }
}
