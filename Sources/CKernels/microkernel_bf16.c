// The portable microkernels for bfloat16, and the choice among all.
#include "microkernel_bf16.h"

#include <stdint.h>
#include <string.h>

#include "cpu.h"

rk_microkernel *rk_bf16_by_rows_current(void) {
  switch (rk_isa_current()) {
#if defined(__x86_64__)
  case RK_ISA_AVX512:
    return rk_amx_available() ? rk_bf16_by_rows_amx : rk_bf16_by_rows_avx2;
  case RK_ISA_AVX2:
    return rk_bf16_by_rows_avx2;
#elif defined(__aarch64__)
  case RK_ISA_NEON:
    return rk_bf16_by_rows_neon;
#endif
  default:
    return rk_bf16_by_rows_portable;
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

// Adds the products of at most RK_BF16_GROUP pairs.
static float add_group(const float *a, const float *b, ptrdiff_t b_stride, size_t pairs, float sum) {
  float first = 0, second = 0;
  for (size_t k = 0; k < pairs; k++, a++, b += b_stride) {
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    first = multiply_add(as_float(x << 16), as_float(y << 16), first);
    second = multiply_add(as_float(x & 0xffff0000), as_float(y & 0xffff0000), second);
  }
  return sum + (first + second);
}

void rk_bf16_by_rows_portable(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    float sum[RK_PANEL] = {0};
    for (size_t s = 0; s < tile->stretch_count; s++) {
      const float *a = tile->a + (ptrdiff_t)r * tile->a_stride + tile->stretches[s].a;
      const float *b = tile->b + tile->stretches[s].b;
      for (size_t k = 0; k < tile->stretches[s].depth; k += RK_BF16_GROUP) {
        size_t pairs = tile->stretches[s].depth - k < RK_BF16_GROUP ? tile->stretches[s].depth - k : RK_BF16_GROUP;
        for (size_t c = 0; c < tile->columns; c++) {
          sum[c] = add_group(a + k, b + (ptrdiff_t)k * tile->b_stride + c, tile->b_stride, pairs, sum[c]);
        }
      }
    }
    rk_store_row_portable(tile, r, sum);
  }
}
