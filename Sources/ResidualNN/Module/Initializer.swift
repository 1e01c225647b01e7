import ResidualTensor

/// How a weight starts.
///
/// PyTorch: `torch.nn.init`; the same generator state gives the same numbers.
public struct Initializer {
  private let draw: (UnsafeMutableBufferPointer<Float>, _ shape: [Int], Generator) -> Void

  /// Uniform within ±bound.
  ///
  /// PyTorch: `uniform_(-bound, bound)`.
  public static func uniform(bound: Double) -> Initializer {
    Initializer { buffer, _, generator in generator.uniform(into: buffer, from: -bound, to: bound) }
  }

  /// Normal around 0.
  ///
  /// PyTorch: `normal_(0, std)`.
  public static func normal(std: Double) -> Initializer {
    Initializer { buffer, _, generator in generator.normal(into: buffer, std: std) }
  }

  /// Uniform with the variance that keeps activations stable after a leaky ReLU, by the number of inputs.
  ///
  /// Source: He et al. 2015, arXiv:1502.01852. PyTorch: `kaiming_uniform_(a: negativeSlope)`.
  public static func kaimingUniform(negativeSlope: Double) -> Initializer {
    Initializer { buffer, shape, generator in
      let gain = (2 / (1 + negativeSlope * negativeSlope)).squareRoot()
      let bound = 3.squareRoot() * (gain / Double(fanIn(shape)).squareRoot())
      generator.uniform(into: buffer, from: -bound, to: bound)
    }
  }

  /// Normal with the variance that keeps gradients stable through ReLUs, by the number of outputs.
  ///
  /// Source: He et al. 2015. PyTorch: `kaiming_normal_(mode="fan_out", nonlinearity="relu")`.
  public static var kaimingNormalFanOut: Initializer {
    Initializer { buffer, shape, generator in
      let fanOut = shape[0] * shape.dropFirst(2).reduce(1, *)
      generator.normal(into: buffer, std: 2.squareRoot() / Double(fanOut).squareRoot())
    }
  }

  /// Draws the parameter's elements in logical order.
  public func fill(_ parameter: Parameter, generator: Generator = .default) {
    var scalars = [Float](repeating: 0, count: parameter.count)
    scalars.withUnsafeMutableBufferPointer { draw($0, parameter.shape, generator) }
    parameter.assign(Tensor(scalars, shape: parameter.shape))
  }

  private static func fanIn(_ shape: [Int]) -> Int { shape.dropFirst().reduce(1, *) }
}
