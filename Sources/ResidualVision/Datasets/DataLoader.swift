/// Cuts a data set into batches and lays out their pixels as the network takes them.
///
/// Pixels are scaled to 0...1. Smaller images get a black frame: the image sits in the middle, the odd pixel goes below
/// and to the right (PyTorch: `Pad`, `ToTensor`, `Normalize`, in this order, so the frame is normalised like the image).
public struct DataLoader: Sendable {
  /// The images and their labels.
  public let images: LabeledImages

  /// The number of images in a batch; the last batch of an epoch has what is left.
  public let batchSize: Int

  /// Height and width of what the network gets, in pixels.
  public let imageSize: Int

  /// In which order each epoch goes through the images.
  public let order: EpochOrder

  /// The pixel that each byte becomes, 256 a channel.
  private let pixelValues: [Float]

  /// Prepares batches.
  ///
  /// - Parameters:
  ///   - imageSize: height and width in pixels, no smaller than the images; 32 or the images' own, whichever is larger,
  ///     if nil.
  ///   - mean: what is subtracted from the scaled pixels of each channel; one value is used for all channels, none is 0.
  ///   - std: what the difference is divided by; likewise, none is 1.
  /// - Throws: `DatasetError` if the batch size is not positive, the image size is too small, or a normalisation has
  ///   the wrong number of values or values that can't be divided by.
  public init(
    _ images: LabeledImages, batchSize: Int, order: EpochOrder, imageSize: Int? = nil, mean: [Float] = [],
    std: [Float] = []
  ) throws(DatasetError) {
    let largestSide = max(images.height, images.width)
    let imageSize = imageSize ?? max(32, largestSide)
    guard batchSize > 0 else {
      throw DatasetError(.invalidRequest, "a batch of \(batchSize) images can't be made; use a batch size from 1 up")
    }
    guard imageSize >= largestSide else {
      throw DatasetError(
        .invalidRequest,
        "the images are \(images.height) x \(images.width) pixels and are not shrunk to \(imageSize); "
          + "use an image size from \(largestSide) up")
    }
    // An odd size far beyond any memory is a slip of the keyboard.
    guard imageSize <= 1 << 14 else {
      throw DatasetError(.invalidRequest, "an image size of \(imageSize) is too large; use one up to \(1 << 14)")
    }
    let means = try Self.perChannel(mean, count: images.channels, otherwise: 0, name: "mean")
    let stds = try Self.perChannel(std, count: images.channels, otherwise: 1, name: "std")
    guard stds.allSatisfy({ $0 > 0 }) else {
      throw DatasetError(.invalidRequest, "a standard deviation must be positive, not \(stds)")
    }
    self.images = images
    self.batchSize = batchSize
    self.imageSize = imageSize
    self.order = order
    pixelValues = zip(means, stds).flatMap { mean, std in (0...255).map { (Float($0) / 255 - mean) / std } }
  }

  /// How many batches an epoch has.
  public var batchCount: Int { (images.count + batchSize - 1) / batchSize }

  /// The indices of the images in each batch of an epoch.
  public func batches(epoch: Int) -> [ArraySlice<Int>] {
    let indices = order.indices(epoch: epoch, count: images.count)
    return stride(from: 0, to: indices.count, by: batchSize).map { start in
      indices[start..<min(start + batchSize, indices.count)]
    }
  }

  /// The labels of a batch, `[N]`.
  public func labels(of batch: some Sequence<Int>) -> [Int] {
    batch.map { images.labels[$0] }
  }

  /// Writes the pixels of a batch, logically `[N, C, H, W]`, position first and channel last in memory: `[H, W, N, C]`.
  public func fill(_ buffer: UnsafeMutableBufferPointer<Float>, with batch: ArraySlice<Int>) {
    let (height, width, channels) = (images.height, images.width, images.channels)
    let row = batch.count * channels
    precondition(
      buffer.count == imageSize * imageSize * row,
      "DataLoader.fill: \(buffer.count) numbers are no batch [\(batch.count), \(channels), \(imageSize), \(imageSize)]")
    let (top, left) = ((imageSize - height) / 2, (imageSize - width) / 2)
    let planes = batch.flatMap { image in
      (0..<channels).map { channel in (image * channels + channel) * height * width }
    }
    images.pixels.withUnsafeBufferPointer { pixels in
      pixelValues.withUnsafeBufferPointer { values in
        planes.withUnsafeBufferPointer { planes in
          var position = 0
          for y in -top..<imageSize - top {
            for x in -left..<imageSize - left {
              let target = UnsafeMutableBufferPointer(rebasing: buffer[position..<position + row])
              position += row
              let isInside = y >= 0 && y < height && x >= 0 && x < width
              let offset = y * width + x
              var channel = 0
              for index in 0..<row {
                let byte = isInside ? pixels[planes[index] + offset] : 0
                target[index] = values[channel << 8 | Int(byte)]
                channel = channel + 1 == channels ? 0 : channel + 1
              }
            }
          }
        }
      }
    }
  }

  private static func perChannel(
    _ values: [Float], count: Int, otherwise value: Float, name: String
  ) throws(DatasetError) -> [Float] {
    guard values.allSatisfy(\.isFinite) else {
      throw DatasetError(.invalidRequest, "the \(name) must be finite, not \(values)")
    }
    switch values.count {
    case count: return values
    case 0: return [Float](repeating: value, count: count)
    case 1: return [Float](repeating: values[0], count: count)
    default:
      throw DatasetError(
        .invalidRequest,
        "the \(name) has \(values.count) values, but the images have \(count) channels; "
          + "give one value or \(count)")
    }
  }
}
