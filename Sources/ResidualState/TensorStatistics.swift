/// The range of a tensor's numbers, and how many are none.
public struct TensorStatistics: Sendable, Equatable {
  /// The smallest finite number; nil where there is none.
  public let minimum: Double?
  /// The largest finite number; nil where there is none.
  public let maximum: Double?
  /// The mean of the finite numbers; nil where there is none.
  public let mean: Double?
  /// How many are NaN or infinite.
  public let nonFiniteCount: Int

  /// Looks at every element; 64-bit integers beyond 2^53 are rounded.
  public init(_ tensor: TensorData) {
    var (smallest, largest, sum, count) = (Double.infinity, -Double.infinity, 0.0, 0)
    for value in tensor.scalars(as: Double.self) where value.isFinite {
      smallest = min(smallest, value)
      largest = max(largest, value)
      sum += value
      count += 1
    }
    nonFiniteCount = tensor.count - count
    minimum = count > 0 ? smallest : nil
    maximum = count > 0 ? largest : nil
    mean = count > 0 ? sum / Double(count) : nil
  }
}
