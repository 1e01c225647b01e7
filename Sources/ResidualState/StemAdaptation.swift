/// Whether a convolution's weight of one shape can be adapted to another that differs in its input channels.
func inputChannelsCanAdapt(from: [Int], to: [Int]) -> Bool {
  from.count == 4 && to.count == 4 && from[0] == to[0] && from[2...] == to[2...] && from[1] != to[1]
    && (from[1] == 1 || to[1] == 1)
}

extension TensorData {
  /// A convolution's weight `[O, C, kh, kw]` for another number of input channels, nil where the shapes forbid it.
  ///
  /// To one channel it is summed over C, in double: the network then sees one gray channel as it saw the same gray C
  /// times. From one channel to C it is divided by C and repeated. (timm's `adapt_input_conv` sums likewise.)
  func adaptingInputChannels(to target: [Int]) -> TensorData? {
    guard dtype.isFloatingPoint, inputChannelsCanAdapt(from: shape, to: target) else { return nil }
    let (outputs, from, to, window) = (shape[0], shape[1], target[1], shape[2] * shape[3])
    let values = scalars(as: Double.self)
    var adapted = [Double](repeating: 0, count: outputs * to * window)
    for o in 0..<outputs {
      for k in 0..<window {
        let sum = (0..<from).reduce(0.0) { $0 + values[(o * from + $1) * window + k] }
        for c in 0..<to { adapted[(o * to + c) * window + k] = sum / Double(to) }
      }
    }
    return TensorData(adapted, shape: target).converted(to: dtype)
  }
}
