// NEON: 6 x 4 sums of 4 floats, four vectors of B, one or two of A: 30 of 32 registers.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#define TARGET
#define VECTOR float32x4_t
#define LANES 4
#define ROWS 6
#define VECTORS 4
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4) visit(5) visit(6)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2) visit(r, 3) visit(r, 4)
#define ZERO() vdupq_n_f32(0)
#define LOAD(p) vld1q_f32(p)
#define BROADCAST(p) vld1q_dup_f32(p)
#define MULTIPLY_ADD(a, b, sum) vfmaq_f32(sum, a, b)
#define ADD(a, b) vaddq_f32(a, b)
#define MAXIMUM(a, b) vmaxq_f32(a, b)
#define LOAD_PART(p, n) load_part(p, n)
#define STORE_PART(p, n, x) store_part(p, n, x)
#define STREAM(p, x) vst1q_f32(p, x)

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

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_neon = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
