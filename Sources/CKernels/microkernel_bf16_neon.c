// bfloat16 with NEON: both halves of a pair become floats. (BFDOT rounds otherwise than AMX.)
// 4 x 2 sums of 4 floats, twice, leave registers for the halves of B and A.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "microkernel_bf16.h"

#define TARGET
#define VECTOR float32x4_t
#define LANES 4
#define ROWS 4
#define VECTORS 2
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2)
#define ZERO() vdupq_n_f32(0)
#define LOAD(p) vld1q_f32(p)
#define BROADCAST(p) vreinterpretq_f32_u32(vld1q_dup_u32((const uint32_t *)(p)))
#define MULTIPLY_ADD(a, b, sum) vfmaq_f32(sum, a, b)
#define FIRST(x) first_of(x)
#define SECOND(x) second_of(x)
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

static inline float32x4_t second_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff0000)));
}

static inline float32x4_t first_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs), 16));
}

#include "microkernel_bf16_template.h"

void rk_bf16_by_rows_neon(const rk_tile *tile) { by_rows(tile); }
#endif
