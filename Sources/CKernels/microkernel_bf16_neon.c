// bfloat16 with NEON: both halves of a pair become floats. (BFDOT rounds otherwise than VDPBF16PS.)
// 4 x 4 sums of 4 floats leave registers for the halves of B and A.
#if defined(__aarch64__)
#include "microkernel_bf16.h"
#include "vector_neon.h"

#define ROWS 4
#define VECTORS 4
#define MOST_ROWS(v) 4u
#define FOR_EACH_PART(visit) FOUR_ROWS(visit, 1) FOUR_ROWS(visit, 2) FOUR_ROWS(visit, 3) FOUR_ROWS(visit, 4)
#define BROADCAST(p) vld1q_dup_f32(p)
#define MULTIPLY_ADD(a, b, sum) multiply_add_pairs(a, b, sum)
#define LONGEST_SUM(tile) SIZE_MAX

static inline float32x4_t second_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff0000)));
}

static inline float32x4_t first_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs), 16));
}

static inline float32x4_t multiply_add_pairs(float32x4_t a, float32x4_t b, float32x4_t sum) {
  return vfmaq_f32(vfmaq_f32(sum, second_of(a), second_of(b)), first_of(a), first_of(b));
}

#include "microkernel_template.h"

const rk_bf16_microkernels rk_bf16_microkernels_neon = {RK_BF16_SHAPE, by_rows, by_columns, rk_float_rows_to_bfloat16};
#endif
