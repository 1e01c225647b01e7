// The portable microkernels, and the choice among all.
#include <string.h>

#include "cpu.h"
#include "microkernel_portable.h"

const rk_microkernels *rk_microkernels_current(void) {
  switch (rk_isa_current()) {
#if defined(__x86_64__)
  case RK_ISA_AMX:
  case RK_ISA_AVX512:
    return &rk_microkernels_avx512;
  case RK_ISA_AVX2:
    return &rk_microkernels_avx2;
#elif defined(__aarch64__)
  case RK_ISA_NEON:
    return &rk_microkernels_neon;
#endif
  default:
    return &rk_microkernels_portable;
  }
}

void rk_store_row_portable(const rk_tile *tile, size_t row, const float *sum) {
  for (size_t c = 0; c < tile->columns; c++) {
    size_t at = tile->c_rows[row] + c;
    float x = sum[c];
    if (tile->accumulate) x = tile->c[at] + x;
    if (tile->scale != NULL) x *= tile->scale[c];
    if (tile->bias != NULL) x += tile->bias[c];
    if (tile->residual != NULL) x += tile->residual[at];
    tile->c[at] = tile->relu && x < 0 ? 0 : x;
  }
}

static inline float multiply_add(float a, float b, float sum) { return sum + a * b; }

static void by_rows(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    const float *a = tile->a + (ptrdiff_t)r * tile->a_stride;
    rk_multiply_row_portable(tile, r, a, 1, RK_FLOAT_SUM(tile), multiply_add);
  }
}

static void by_columns(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    rk_multiply_row_portable(tile, r, tile->a + r, tile->a_stride, RK_FLOAT_SUM(tile), multiply_add);
  }
}

void rk_transpose_portable(const float *x, size_t stride, size_t columns, size_t depth, float *out) {
  enum { BLOCK = 16 };  // a cache line of the source
  memset(out, 0, columns < RK_PANEL ? depth * RK_PANEL * sizeof(float) : 0);
  for (size_t first = 0; first < depth; first += BLOCK) {
    size_t end = first + BLOCK < depth ? first + BLOCK : depth;
    for (size_t c = 0; c < columns; c++) {
      for (size_t k = first; k < end; k++) out[k * RK_PANEL + c] = x[c * stride + k];
    }
  }
}

void rk_copy_portable(const float *x, size_t stride, size_t columns, size_t depth, float *out) {
  for (size_t k = 0; k < depth; k++, x += stride, out += RK_PANEL) {
    memcpy(out, x, columns * sizeof(float));
    memset(out + columns, 0, (RK_PANEL - columns) * sizeof(float));
  }
}

const rk_microkernels rk_microkernels_portable = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
