/// The part of a data set that is trained on, and the part that is held back to test with.
public enum DatasetSplit: String, Sendable, CaseIterable {
  case train
  case test
}

/// Images of one size with a class each, as they come from a data set's files.
public struct LabeledImages: Sendable {
  /// The pixels, `[N, C, H, W]`, last dimension fastest, 0...255.
  public let pixels: [UInt8]

  /// The classes, `[N]`, each below `classNames.count`.
  public let labels: [Int]

  /// The number of channels, 1 for grey images and 3 for red, green and blue.
  public let channels: Int

  /// The height of an image in pixels.
  public let height: Int

  /// The width of an image in pixels.
  public let width: Int

  /// What the classes are called.
  public let classNames: [String]

  /// The number of images.
  public var count: Int { labels.count }

  /// The number of classes.
  public var classes: Int { classNames.count }

  /// Puts images and labels together.
  ///
  /// - Parameters:
  ///   - imagesPath: the file to name when the images are at fault.
  ///   - labelsPath: the file to name when the labels are at fault.
  /// - Throws: `DatasetError` if there is no image, if there are not as many images as labels, or if a label is not
  ///   one of the classes; it names the file and the label's index.
  public init(
    pixels: [UInt8], labels: [Int], channels: Int, height: Int, width: Int, classNames: [String],
    imagesPath: String? = nil, labelsPath: String? = nil
  ) throws(DatasetError) {
    precondition(
      channels > 0 && height > 0 && width > 0, "LabeledImages: images can't be \(channels) x \(height) x \(width)")
    precondition(
      pixels.count % (channels * height * width) == 0,
      "LabeledImages: \(pixels.count) pixels are no whole number of \(channels) x \(height) x \(width) images")
    let count = pixels.count / (channels * height * width)
    guard count > 0 else { throw DatasetError(.truncated, "holds no images", path: imagesPath) }
    guard labels.count == count else {
      throw DatasetError(
        .inconsistent,
        "holds \(labels.count) labels, but there are \(count) images"
          + (imagesPath.map { " in \($0)" } ?? "") + "; the two files don't belong together, get both again",
        path: labelsPath)
    }
    if let index = labels.firstIndex(where: { !classNames.indices.contains($0) }) {
      throw DatasetError(
        .labelOutOfRange,
        "label \(labels[index]) of image \(index) is not one of the classes 0...\(classNames.count - 1); "
          + "the file is damaged or belongs to another data set",
        path: labelsPath)
    }
    self.pixels = pixels
    self.labels = labels
    self.channels = channels
    self.height = height
    self.width = width
    self.classNames = classNames
  }

  /// The first images, all of them if there are no more than `count`.
  public func prefix(_ count: Int) -> LabeledImages {
    precondition(count > 0, "LabeledImages.prefix: can't keep \(count) images")
    return LabeledImages(firstOf: self, count: min(count, self.count))
  }

  private init(firstOf whole: LabeledImages, count: Int) {
    pixels = Array(whole.pixels.prefix(count * whole.channels * whole.height * whole.width))
    labels = Array(whole.labels.prefix(count))
    channels = whole.channels
    height = whole.height
    width = whole.width
    classNames = whole.classNames
  }
}
