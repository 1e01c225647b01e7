// The portable microkernels for bfloat16, and the choice among all.
#include "microkernel_bf16.h"

#include "cpu.h"
#include "microkernel_portable.h"

const rk_bf16_microkernels *rk_bf16_microkernels_current(void) {
  switch (rk_isa_current()) {
#if defined(__x86_64__)
  case RK_ISA_AMX:
    return &rk_bf16_microkernels_amx;
  case RK_ISA_AVX512:
    if (__builtin_cpu_supports("avx512bf16")) return &rk_bf16_microkernels_avx512;
    return &rk_bf16_microkernels_avx2;
  case RK_ISA_AVX2:
    return &rk_bf16_microkernels_avx2;
#elif defined(__aarch64__)
  case RK_ISA_NEON:
    return &rk_bf16_microkernels_neon;
#endif
  default:
    return &rk_bf16_microkernels_portable;
  }
}

void rk_bf16_end(void) {
#if defined(__x86_64__)
  rk_amx_end();
#endif
}

static float as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The product is exact in double, and a sum rounded to double first and to float then is rounded as if only once.
static float multiply_add(float a, float b, float sum) { return (float)((double)a * (double)b + (double)sum); }

static inline float multiply_add_pair(float a, float b, float sum) {
  uint32_t x, y;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  sum = multiply_add(as_float(x & 0xffff0000), as_float(y & 0xffff0000), sum);
  return multiply_add(as_float(x << 16), as_float(y << 16), sum);
}

static void by_rows(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    rk_multiply_row_portable(tile, r, tile->a + (ptrdiff_t)r * tile->a_stride, 1, SIZE_MAX, multiply_add_pair);
  }
}

static void by_columns(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    rk_multiply_row_portable(tile, r, tile->a + r, tile->a_stride, SIZE_MAX, multiply_add_pair);
  }
}

const rk_bf16_microkernels rk_bf16_microkernels_portable = {
    RK_BF16_SHAPE, by_rows, by_columns, rk_float_rows_to_bfloat16};
