// bfloat16 with NEON: both halves of a pair become floats. (BFDOT rounds otherwise than AMX.)
// 4 x 2 sums of 4 floats, twice, leave registers for the halves of B and A.
#if defined(__aarch64__)
#include "microkernel_bf16.h"
#include "vector_neon.h"

#define ROWS 4
#define VECTORS 2
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2)
#define BROADCAST(p) vreinterpretq_f32_u32(vld1q_dup_u32((const uint32_t *)(p)))
#define FIRST(x) first_of(x)
#define SECOND(x) second_of(x)

static inline float32x4_t second_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff0000)));
}

static inline float32x4_t first_of(float32x4_t pairs) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs), 16));
}

#include "microkernel_bf16_template.h"

void rk_bf16_by_rows_neon(const rk_tile *tile) { by_rows(tile); }
#endif
