#include "optimizer.h"

#include "dispatch.h"

RK_LOOP void sgd_plain(const rk_sgd *options, const float *gradient, float *parameter, size_t count) {
  float learning_rate = options->learning_rate, weight_decay = options->weight_decay;
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) {
    float g = weight_decay != 0 ? gradient[i] + weight_decay * parameter[i] : gradient[i];
    parameter[i] -= learning_rate * g;
  }
}

RK_LOOP void sgd_momentum(const rk_sgd *options, const float *gradient, float *parameter, float *buffer,
                          size_t count) {
  float learning_rate = options->learning_rate, weight_decay = options->weight_decay, momentum = options->momentum;
  float share = 1 - options->dampening;
  bool first = options->first, nesterov = options->nesterov;
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) {
    float g = weight_decay != 0 ? gradient[i] + weight_decay * parameter[i] : gradient[i];
    float average = first ? g : momentum * buffer[i] + share * g;
    buffer[i] = average;
    parameter[i] -= learning_rate * (nesterov ? g + momentum * average : average);
  }
}

RK_LOOP void sgd_step(const rk_sgd *options, const float *gradient, float *parameter, float *buffer, size_t count) {
  if (options->momentum == 0) {
    sgd_plain(options, gradient, parameter, count);
  } else {
    sgd_momentum(options, gradient, parameter, buffer, count);
  }
}

RK_LOOP void adam_step(const rk_adam *options, const float *gradient, float *parameter, float *m, float *v,
                       size_t count) {
  rk_adam o = *options;
  float kept = 1 - o.decay;
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) {
    float p = parameter[i] * kept;
    float g = o.weight_decay != 0 ? gradient[i] + o.weight_decay * p : gradient[i];
    float first = m[i] + (g - m[i]) * o.one_minus_beta1;
    float second = v[i] * o.beta2 + o.one_minus_beta2 * g * g;
    m[i] = first;
    v[i] = second;
    float deviation = __builtin_elementwise_sqrt(second) * o.inverse_root_correction + o.epsilon;
    parameter[i] = p - o.step_size * first / deviation;
  }
}

RK_DISPATCH(void, rk_sgd_step, sgd_step,
            (const rk_sgd *options, const float *gradient, float *parameter, float *buffer, size_t count),
            (options, gradient, parameter, buffer, count))
RK_DISPATCH(void, rk_adam_step, adam_step,
            (const rk_adam *options, const float *gradient, float *parameter, float *m, float *v, size_t count),
            (options, gradient, parameter, m, v, count))
