// NEON as the microkernel templates want it: what float and bfloat16 have in common.
#ifndef RESIDUAL_VECTOR_NEON_H
#define RESIDUAL_VECTOR_NEON_H

#include <arm_neon.h>
#include <string.h>

#define TARGET
#define VECTOR float32x4_t
#define LANES 4
#define ZERO() vdupq_n_f32(0)
#define LOAD(p) vld1q_f32(p)
#define MULTIPLY(a, b) vmulq_f32(a, b)
#define ADD(a, b) vaddq_f32(a, b)
#define MAXIMUM(a, b) vmaxq_f32(a, b)
#define LOAD_PART(p, n) load_part(p, n)
#define STORE_PART(p, n, x) store_part(p, n, x)
#define STORE(p, x) vst1q_f32(p, x)

static inline float32x4_t load_part(const float *x, size_t lanes) {
  if (lanes == LANES) return vld1q_f32(x);
  float part[LANES] = {0};
  memcpy(part, x, lanes * sizeof(float));
  return vld1q_f32(part);
}

static inline void store_part(float *out, size_t lanes, float32x4_t x) {
  float part[LANES];
  if (lanes == LANES) {
    vst1q_f32(out, x);
  } else {
    vst1q_f32(part, x);
    memcpy(out, part, lanes * sizeof(float));
  }
}

#endif
