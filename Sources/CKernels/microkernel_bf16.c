// The portable microkernels for bfloat16, and the choice among all.
#include "microkernel_bf16.h"

#include <stdint.h>
#include <string.h>

#include "cpu.h"

const rk_microkernels *rk_microkernels_bf16_current(void) {
  switch (rk_isa_current()) {
#if defined(__x86_64__)
  case RK_ISA_AVX512:
    return __builtin_cpu_supports("avx512bf16") ? &rk_microkernels_bf16_avx512 : &rk_microkernels_bf16_avx2;
  case RK_ISA_AVX2:
    return &rk_microkernels_bf16_avx2;
#elif defined(__aarch64__)
  case RK_ISA_NEON:
    return &rk_microkernels_bf16_neon;
#endif
  default:
    return &rk_microkernels_bf16_portable;
  }
}

static float as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The product is exact in double, and a sum rounded to double first and to float then is rounded as if only once.
static float multiply_add(float a, float b, float sum) { return (float)((double)a * (double)b + (double)sum); }

static float add_pair(const float *a, const float *b, float sum) {
  uint32_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  sum = multiply_add(as_float(x & 0xffff0000), as_float(y & 0xffff0000), sum);
  return multiply_add(as_float(x << 16), as_float(y << 16), sum);
}

static void multiply_row(const rk_tile *tile, size_t row, const float *first_a, ptrdiff_t a_step) {
  float sum[RK_PANEL] = {0};
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = first_a + tile->stretches[s].a, *b = tile->b + tile->stretches[s].b;
    for (size_t k = 0; k < tile->stretches[s].depth; k++, a += a_step, b += tile->b_stride) {
      for (size_t c = 0; c < tile->columns; c++) sum[c] = add_pair(a, b + c, sum[c]);
    }
  }
  rk_store_row_portable(tile, row, sum);
}

static void by_rows(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) multiply_row(tile, r, tile->a + (ptrdiff_t)r * tile->a_stride, 1);
}

static void by_columns(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) multiply_row(tile, r, tile->a + r, tile->a_stride);
}

const rk_microkernels rk_microkernels_bf16_portable = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
