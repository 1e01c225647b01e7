import ResidualTensor

/// In which order an epoch goes through the images: a pure function, so that a resumed run continues where it was.
public enum EpochOrder: Sendable, Equatable {
  /// A new random order each epoch, the one of PyTorch's `DistributedSampler` with one replica: `torch.randperm(count)`
  /// from a generator seeded with seed + epoch.
  case shuffled(seed: UInt64)

  /// The file's order, every epoch.
  case sequential

  /// The images' indices in the order of an epoch.
  public func indices(epoch: Int, count: Int) -> [Int] {
    switch self {
    case .shuffled(let seed): Generator(seed: seed &+ UInt64(truncatingIfNeeded: epoch)).randperm(count)
    case .sequential: Array(0..<count)
    }
  }
}
