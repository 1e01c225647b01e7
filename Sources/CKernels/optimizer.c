#include "optimizer.h"

#include <stdint.h>

#include "arithmetic.h"
#include "dispatch.h"

/// Elements worked on at a time, and how far ahead of them memory is asked for. A large network's parameters come from
/// memory, not from a cache, and the processor by itself looks no further than a page: without this a step of Adam over
/// 42 million parameters takes some 6 % longer, and more on a busy machine.
enum { block = 128, ahead = 2048 };

/// Asks for the block that is `ahead` elements further on; past the end of the array that is harmless. Of a block that
/// `changes` no other processor keeps a copy, so that writing need not wait.
RK_LOOP void prefetch(const float *x, bool changes) {
  uintptr_t address = (uintptr_t)x + ahead * sizeof *x;
  for (size_t byte = 0; byte < block * sizeof *x; byte += 64) {
    const void *line = (const void *)(address + byte);
    if (changes) {
      __builtin_prefetch(line, 1, 2);
    } else {
      __builtin_prefetch(line, 0, 2);
    }
  }
}

RK_LOOP void sgd_plain(rk_sgd o, const float *gradient, float *parameter, size_t count) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) {
    float g = o.weight_decay != 0 ? gradient[i] + o.weight_decay * parameter[i] : gradient[i];
    parameter[i] -= o.learning_rate * g;
  }
}

RK_LOOP void sgd_momentum(rk_sgd o, const float *gradient, float *parameter, float *buffer, size_t count) {
  float share = 1 - o.dampening;
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) {
    float g = o.weight_decay != 0 ? gradient[i] + o.weight_decay * parameter[i] : gradient[i];
    // Two statements: PyTorch rounds the first product before it adds the second.
    float kept = o.momentum * buffer[i];
    float average = o.first ? g : kept + share * g;
    buffer[i] = average;
    parameter[i] -= o.learning_rate * (o.nesterov ? g + o.momentum * average : average);
  }
}

RK_LOOP void sgd_step(const rk_sgd *options, const float *gradient, float *parameter, float *buffer, size_t count) {
  rk_sgd o = *options;
  for (size_t i = 0; i < count; i += block) {
    size_t width = minimum(block, count - i);
    prefetch(gradient + i, false);
    prefetch(parameter + i, true);
    if (o.momentum == 0) {
      sgd_plain(o, gradient + i, parameter + i, width);
    } else {
      prefetch(buffer + i, true);
      sgd_momentum(o, gradient + i, parameter + i, buffer + i, width);
    }
  }
}

RK_LOOP void adam_block(rk_adam o, const float *gradient, float *parameter, float *m, float *v, size_t count) {
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

RK_LOOP bool is_zero(const float *x, size_t count) {
  int found = 0;
  for (size_t i = 0; i < count; i++) found |= x[i] != 0;
  return !found;
}

/// A block that never had a gradient stays as it is, and is not written: the taps of a kernel that small images never
/// meet (a 3x3 kernel over images of one position has eight) are a seventh of ResNet-101 at 32x32.
RK_LOOP void adam_step(const rk_adam *options, const float *gradient, float *parameter, float *m, float *v, bool *rests,
                       size_t count) {
  rk_adam o = *options;
  bool keeps_unused = o.weight_decay == 0 && o.decay == 0 && o.epsilon > 0, rested = rests && *rests, works = false;
  for (size_t i = 0; i < count; i += block) {
    size_t width = minimum(block, count - i);
    prefetch(gradient + i, false);
    bool is_unused = keeps_unused && is_zero(gradient + i, width);
    if (is_unused && rested) continue;
    prefetch(m + i, true);
    prefetch(v + i, true);
    if (is_unused && is_zero(m + i, width) && is_zero(v + i, width)) continue;
    works = true;
    prefetch(parameter + i, true);
    adam_block(o, gradient + i, parameter + i, m + i, v + i, width);
  }
  if (rests) *rests = keeps_unused && !works;
}

RK_DISPATCH(void, rk_sgd_step, sgd_step,
            (const rk_sgd *options, const float *gradient, float *parameter, float *buffer, size_t count),
            (options, gradient, parameter, buffer, count))
RK_DISPATCH(void, rk_adam_step, adam_step,
            (const rk_adam *options, const float *gradient, float *parameter, float *m, float *v, bool *rests,
             size_t count),
            (options, gradient, parameter, m, v, rests, count))
