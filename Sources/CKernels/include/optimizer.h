// One pass over a parameter for each optimizer, on `count` consecutive elements.
#ifndef RESIDUAL_OPTIMIZER_H
#define RESIDUAL_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

/// torch.optim.SGD: g = gradient + weight_decay * parameter; with momentum: buffer = first ? g : momentum * buffer +
/// (1 - dampening) * g; g = nesterov ? g + momentum * buffer : buffer; parameter -= learning_rate * g.
/// buffer may be NULL when momentum is 0.
typedef struct {
  float learning_rate, momentum, dampening, weight_decay;
  bool nesterov, first;
} rk_sgd;
void rk_sgd_step(const rk_sgd *options, const float *gradient, float *parameter, float *buffer, size_t count);

/// torch.optim.Adam and AdamW (decoupled). step_size = learning_rate / (1 - beta1^t);
/// inverse_root_correction = 1 / sqrt(1 - beta2^t);
/// parameter -= step_size * m / (sqrt(v) * inverse_root_correction + epsilon).
/// decay: AdamW multiplies the parameter by 1 - learning_rate * weight_decay first (pass the product in `decay`); Adam
/// adds weight_decay * parameter to the gradient (the other one is 0).
/// one_minus_beta1 and one_minus_beta2 are rounded from double: in float, 1 - 0.999f is off by 1.3e-5 of its value.
/// `rests` (NULL for none) says whether m and v are known to be zero, all of them, before the step and after: then they are
/// not even read unless there is a gradient.
typedef struct {
  float step_size, inverse_root_correction, one_minus_beta1, beta2, one_minus_beta2, epsilon, weight_decay, decay;
} rk_adam;
void rk_adam_step(const rk_adam *options, const float *gradient, float *parameter, float *m, float *v, bool *rests,
                  size_t count);

#endif
