import CKernels
import Testing

extension KernelTests {
  @Suite struct Optimizer {
    /// Ten steps of torch.optim.Adam (decoupled: AdamW) in double.
    private func adam(
      _ start: [Float], gradients: [[Float]], rate: Double, beta1: Double, beta2: Double, epsilon: Double,
      weightDecay: Double, decoupled: Bool
    ) -> [Double] {
      var parameter = start.map { Double($0) }
      var m = Array(repeating: 0.0, count: start.count)
      var v = m
      var (power1, power2) = (1.0, 1.0)
      for gradient in gradients {
        power1 *= beta1
        power2 *= beta2
        for i in start.indices {
          if decoupled { parameter[i] *= 1 - rate * weightDecay }
          let g = Double(gradient[i]) + (decoupled ? 0 : weightDecay * parameter[i])
          m[i] = beta1 * m[i] + (1 - beta1) * g
          v[i] = beta2 * v[i] + (1 - beta2) * g * g
          parameter[i] -= rate / (1 - power1) * m[i] / ((v[i] / (1 - power2)).squareRoot() + epsilon)
        }
      }
      return parameter
    }

    @Test(arguments: [(0.0, false), (0.1, false), (0.1, true)]) func adamForTenSteps(decay: Double, decoupled: Bool) {
      let (rate, beta1, beta2, epsilon) = (1e-2, 0.9, 0.999, 1e-8)
      for count in oddCounts {
        let start = randomFloats(count, seed: 41)
        // Where a gradient comes every third step only, moments must go on without it; some places never get one.
        let gradients = (0..<10).map { step in
          randomFloats(count, seed: 42 + step, deviation: 0.01).enumerated().map { i, g in
            i / 200 % 3 == 1 || i / 200 % 3 == 2 && step % 3 != 1 ? 0 : g
          }
        }
        let wanted = adam(
          start, gradients: gradients, rate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: decay,
          decoupled: decoupled)
        onEveryInstructionSet { isa in
          let parameter = Guarded(start)
          let m = Guarded(Array(repeating: Float(0), count: count))
          let v = Guarded(Array(repeating: Float(0), count: count))
          var rests = false
          var (power1, power2) = (1.0, 1.0)
          for gradient in gradients {
            power1 *= beta1
            power2 *= beta2
            var options = rk_adam(
              step_size: Float(rate / (1 - power1)), inverse_root_correction: Float(1 / (1 - power2).squareRoot()),
              one_minus_beta1: Float(1 - beta1), beta2: Float(beta2), one_minus_beta2: Float(1 - beta2),
              epsilon: Float(epsilon), weight_decay: decoupled ? 0 : Float(decay),
              decay: decoupled ? Float(rate * decay) : 0)
            rk_adam_step(&options, gradient, parameter.pointer, m.pointer, v.pointer, &rests, count)
            let isZero = (m.values + v.values).allSatisfy { $0 == 0 }
            #expect(isZero || !rests, "\(isa) \(count)")
          }
          // The parameters moved by up to 0.1; ten roundings of a value near 1 are 6e-7.
          expectClose(parameter.values, wanted, tolerance: 6e-7, floor: 1, "\(isa) \(count)")
          #expect(parameter.bandsIntact && m.bandsIntact && v.bandsIntact, "\(isa) \(count)")
        }
      }
    }

    /// Moments that are known to be zero are not looked at before the first gradient; from then on they count.
    @Test func adamRestsUntilTheFirstGradient() {
      let count = 1000
      let start = randomFloats(count, seed: 43)
      var late = Array(repeating: Float(0), count: count)
      late[700] = 1
      var options = rk_adam(
        step_size: 0.1, inverse_root_correction: 1, one_minus_beta1: 0.1, beta2: 0.999, one_minus_beta2: 0.001,
        epsilon: 1e-8, weight_decay: 0, decay: 0)
      onEveryInstructionSet { isa in
        let parameter = Guarded(start)
        let moments = [
          Guarded(Array(repeating: Float(0), count: count)), Guarded(Array(repeating: Float(0), count: count)),
        ]
        var rests = false
        let step = { (gradient: [Float]) in
          rk_adam_step(&options, gradient, parameter.pointer, moments[0].pointer, moments[1].pointer, &rests, count)
        }
        step(Array(repeating: 0, count: count))
        #expect(rests, "\(isa)")
        moments[0].pointer[3] = 5
        step(Array(repeating: 0, count: count))
        #expect(rests && parameter.values == start, "\(isa)")
        moments[0].pointer[3] = 0
        step(late)
        #expect(!rests && parameter.values[700] < start[700], "\(isa)")
        let after = parameter.values
        step(Array(repeating: 0, count: count))
        #expect(!rests && parameter.values[700] < after[700], "\(isa)")
        options.weight_decay = 0.1
        moments[0].pointer[700] = 0
        moments[1].pointer[700] = 0
        rests = true
        step(Array(repeating: 0, count: count))
        #expect(!rests && parameter.values[0] != start[0], "\(isa)")
        options.weight_decay = 0
      }
    }

    /// torch.optim.SGD in double.
    private func sgd(_ options: rk_sgd, _ start: [Float], gradients: [[Float]]) -> [Double] {
      var parameter = start.map { Double($0) }
      var buffer = Array(repeating: 0.0, count: start.count)
      let momentum = Double(options.momentum)
      for (step, gradient) in gradients.enumerated() {
        for i in start.indices {
          var g = Double(gradient[i]) + Double(options.weight_decay) * parameter[i]
          if momentum != 0 {
            buffer[i] = step == 0 ? g : momentum * buffer[i] + (1 - Double(options.dampening)) * g
            g = options.nesterov ? g + momentum * buffer[i] : buffer[i]
          }
          parameter[i] -= Double(options.learning_rate) * g
        }
      }
      return parameter
    }

    @Test(arguments: [
      rk_sgd(learning_rate: 0.1, momentum: 0, dampening: 0, weight_decay: 0, nesterov: false, first: true),
      rk_sgd(learning_rate: 0.1, momentum: 0, dampening: 0, weight_decay: 0.01, nesterov: false, first: true),
      rk_sgd(learning_rate: 0.1, momentum: 0.9, dampening: 0, weight_decay: 0, nesterov: false, first: true),
      rk_sgd(learning_rate: 0.1, momentum: 0.9, dampening: 0.5, weight_decay: 0.01, nesterov: false, first: true),
      rk_sgd(learning_rate: 0.1, momentum: 0.9, dampening: 0, weight_decay: 0.01, nesterov: true, first: true),
    ]) func sgdForFiveSteps(options: rk_sgd) {
      for count in oddCounts {
        let start = randomFloats(count, seed: 61)
        let gradients = (0..<5).map { randomFloats(count, seed: 62 + $0) }
        let wanted = sgd(options, start, gradients: gradients)
        onEveryInstructionSet { isa in
          let parameter = Guarded(start)
          let buffer = Guarded<Float>(count)
          for (step, gradient) in gradients.enumerated() {
            var options = options
            options.first = step == 0
            rk_sgd_step(
              &options, gradient, parameter.pointer, options.momentum == 0 ? nil : buffer.pointer, count)
          }
          expectClose(parameter.values, wanted, tolerance: 1e-6, floor: 1, "\(isa) \(count)")
          #expect(parameter.bandsIntact && buffer.bandsIntact, "\(isa) \(count)")
        }
      }
    }
  }
}
