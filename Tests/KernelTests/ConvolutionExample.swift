import CKernels
import Testing

/// A convolution's shape from what a layer is told.
func convolution(
  batch: Int, _ height: Int, _ width: Int, channels: (Int, Int), kernel: (Int, Int), stride: (Int, Int) = (1, 1),
  padding: (Int, Int) = (0, 0)
) -> rk_conv2d {
  rk_conv2d(
    batch: batch, height: height, width: width, in_channels: channels.0, out_channels: channels.1,
    kernel_height: kernel.0, kernel_width: kernel.1, stride_height: stride.0, stride_width: stride.1,
    padding_height: padding.0, padding_width: padding.1,
    out_height: (height + 2 * padding.0 - kernel.0) / stride.0 + 1,
    out_width: (width + 2 * padding.1 - kernel.1) / stride.1 + 1)
}

extension rk_conv2d {
  var inputCount: Int { height * width * batch * in_channels }
  var outputCount: Int { out_height * out_width * batch * out_channels }
  var weightCount: Int { out_channels * kernel_height * kernel_width * in_channels }

  var name: String {
    "n\(batch) \(height)x\(width) \(in_channels)->\(out_channels) k\(kernel_height)x\(kernel_width)"
      + " s\(stride_height),\(stride_width) p\(padding_height),\(padding_width)"
  }

  /// Calls `body` with the indices of output, input and weight of every product of the definition.
  func forEachProduct(_ body: (Int, Int, Int) -> Void) {
    for oh in 0..<out_height {
      for ow in 0..<out_width {
        for kh in 0..<kernel_height {
          for kw in 0..<kernel_width {
            let h = oh * stride_height + kh - padding_height
            let w = ow * stride_width + kw - padding_width
            guard (0..<height).contains(h), (0..<width).contains(w) else { continue }
            for n in 0..<batch {
              for o in 0..<out_channels {
                let output = ((oh * out_width + ow) * batch + n) * out_channels + o
                let input = ((h * width + w) * batch + n) * in_channels
                let weight = ((kh * kernel_width + kw) * out_channels + o) * in_channels
                for i in 0..<in_channels { body(output, input + i, weight + i) }
              }
            }
          }
        }
      }
    }
  }
}

/// The upper half of a float, the nearest bfloat16 to it but for the direction of rounding.
func upperHalf(_ x: Float) -> UInt16 { UInt16(x.bitPattern >> 16) }

/// Which parts of an epilogue there are.
struct Epilogue {
  let scale, bias, residual, relu: Bool

  static let combinations = [
    Epilogue(scale: true, bias: true, residual: true, relu: true),
    Epilogue(scale: false, bias: true, residual: false, relu: false),
    Epilogue(scale: true, bias: false, residual: false, relu: false),
    Epilogue(scale: false, bias: false, residual: true, relu: true),
  ]
}

/// Operands of one convolution, and its results in double.
struct ConvolutionExample {
  let shape: rk_conv2d
  let weight, scale, bias, residual, gradient: [Float]
  private(set) var input: [Float]
  var output, inputGradient, weightGradient: [Double]

  /// `bfloat16`: operands are rounded to bfloat16, and the expected results are those of the rounded ones.
  init(_ shape: rk_conv2d, bfloat16: Bool = false) {
    self.shape = shape
    let rounded = { (x: [Float]) in bfloat16 ? x.map { Float(bitPattern: UInt32(upperHalf($0)) << 16) } : x }
    input = rounded(randomFloats(shape.inputCount, seed: 1))
    weight = rounded(randomFloats(shape.weightCount, seed: 2))
    bias = randomFloats(shape.out_channels, seed: 3)
    residual = randomFloats(shape.outputCount, seed: 4)
    gradient = rounded(randomFloats(shape.outputCount, seed: 5))
    scale = randomFloats(shape.out_channels, seed: 8)
    var output = [Double](repeating: 0, count: shape.outputCount)
    var inputGradient = [Double](repeating: 0, count: shape.inputCount)
    var weightGradient = [Double](repeating: 0, count: shape.weightCount)
    shape.forEachProduct { [input, weight, gradient] y, x, w in
      output[y] += Double(input[x]) * Double(weight[w])
      inputGradient[x] += Double(gradient[y]) * Double(weight[w])
      weightGradient[w] += Double(gradient[y]) * Double(input[x])
    }
    self.output = output
    self.inputGradient = inputGradient
    self.weightGradient = weightGradient
  }

  /// The output after the epilogue, by its definition.
  func finished(_ epilogue: Epilogue) -> [Double] {
    output.indices.map { at in
      let channel = at % shape.out_channels
      var y = output[at]
      if epilogue.scale { y *= Double(scale[channel]) }
      if epilogue.bias { y += Double(bias[channel]) }
      if epilogue.residual { y += Double(residual[at]) }
      return epilogue.relu ? max(0, y) : y
    }
  }

  func withEpilogue<Result>(_ epilogue: Epilogue, _ body: (UnsafePointer<rk_epilogue>) -> Result) -> Result {
    scale.withUnsafeBufferPointer { scale in
      bias.withUnsafeBufferPointer { bias in
        residual.withUnsafeBufferPointer { residual in
          let kernel = rk_epilogue(
            scale: epilogue.scale ? scale.baseAddress : nil, bias: epilogue.bias ? bias.baseAddress : nil,
            residual: epilogue.residual ? residual.baseAddress : nil, relu: epilogue.relu)
          return withUnsafePointer(to: kernel, body)
        }
      }
    }
  }

  /// Makes the first channel of the first position not a number.
  mutating func spoilFirstInput() { input[0] = .nan }

  func packed(_ pack: rk_pack) -> [Float] {
    let packed = Guarded<Float>(withUnsafePointer(to: shape) { rk_conv2d_packed_count($0, pack) })
    runTasks(rk_conv2d_pack_tasks, pack) { rk_conv2d_pack($0, pack, weight, packed.pointer, $1) }
    #expect(packed.bandsIntact, "\(shape.name)")
    return packed.values
  }

  /// A weight's gradient before it is computed: zero at taps that meet only padding, nothing useful elsewhere.
  var unmetTapsCleared: [Float] {
    let channels = shape.out_channels * shape.in_channels
    return withUnsafePointer(to: shape) { shape in
      (0..<self.shape.weightCount).map { rk_conv2d_tap_meets_data(shape, $0 / channels) ? .sentinel : 0 }
    }
  }

  var canBeTransposed: Bool { withUnsafePointer(to: shape, rk_conv2d_forward_can_be_transposed) }

  /// The output by the transposed product.
  func transposed(_ epilogue: UnsafePointer<rk_epilogue>?) -> [Float] {
    let packed = Guarded<Float>(withUnsafePointer(to: shape, rk_conv2d_packed_rows_count))
    withUnsafePointer(to: shape) { shape in
      for task in 0..<rk_conv2d_pack_rows_tasks(shape) { rk_conv2d_pack_rows(shape, input, packed.pointer, task) }
    }
    #expect(packed.bandsIntact, "\(shape.name)")
    return run(shape.outputCount, initial: nil, tasks: rk_conv2d_forward_transposed_tasks) {
      rk_conv2d_forward_transposed($0, packed.pointer, weight, epilogue, $1, $2)
    }
  }

  private func runTasks(
    _ count: (UnsafePointer<rk_conv2d>?, rk_pack) -> Int, _ pack: rk_pack,
    _ body: (UnsafePointer<rk_conv2d>, Int) -> Void
  ) {
    withUnsafePointer(to: shape) { shape in for task in 0..<count(shape, pack) { body(shape, task) } }
  }

  /// Runs all tasks into a guarded result that starts as `initial`, in order and in reverse, and expects equal bits.
  func run(
    _ count: Int, initial: [Float]?, tasks: (UnsafePointer<rk_conv2d>?) -> Int,
    _ body: (UnsafePointer<rk_conv2d>, UnsafeMutablePointer<Float>, Int) -> Void
  ) -> [Float] {
    withUnsafePointer(to: shape) { shape in
      let forwards = initial.map(Guarded.init) ?? Guarded<Float>(count)
      let backwards = initial.map(Guarded.init) ?? Guarded<Float>(count)
      let tasks = tasks(shape)
      for task in 0..<tasks { body(shape, forwards.pointer, task) }
      for task in (0..<tasks).reversed() { body(shape, backwards.pointer, task) }
      #expect(forwards.bandsIntact && backwards.bandsIntact, "\(self.shape.name)")
      expectSame(backwards.values, forwards.values, "\(self.shape.name): order of tasks")
      return forwards.values
    }
  }

  /// Rounding errors of a sum of `terms` products of order one.
  func expectSums(_ actual: [Float], _ expected: [Double], terms: Int, _ label: String) {
    let size = Double(max(terms, 1)).squareRoot()
    expectClose(actual, expected, tolerance: 2e-6, floor: 2 * size, "\(shape.name): \(label)")
  }

  var forwardTerms: Int { shape.kernel_height * shape.kernel_width * shape.in_channels }
  var inputTerms: Int { shape.kernel_height * shape.kernel_width * shape.out_channels }
  var weightTerms: Int { shape.out_height * shape.out_width * shape.batch }
}
