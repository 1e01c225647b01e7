// The portable microkernels, and the choice among all.
#include "microkernel.h"

#include <string.h>

#include "cpu.h"

const rk_microkernels *rk_microkernels_current(void) {
  switch (rk_isa_current()) {
#if defined(__x86_64__)
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

// One row of the tile: A(row, k) = a[k * a_step]. As in microkernel_template.h, no sum runs over more than RK_LONGEST_SUM
// products before it is added to the total, or RK_SHORT_SUM.
static void multiply_row(const rk_tile *tile, size_t row, const float *first_a, ptrdiff_t a_step) {
  const size_t longest = tile->short_sums ? RK_SHORT_SUM : RK_LONGEST_SUM;
  float total[RK_TILE_COLUMNS] = {0}, sum[RK_TILE_COLUMNS] = {0};
  size_t columns = (tile->columns + RK_WHOLE_COLUMNS - 1) / RK_WHOLE_COLUMNS * RK_WHOLE_COLUMNS, left = longest;
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = first_a + tile->stretches[s].a, *b = tile->b + tile->stretches[s].b;
    for (size_t k = 0; k < tile->stretches[s].depth; k++, a += a_step, b += tile->b_stride) {
      for (size_t c = 0; c < columns; c++) {
        sum[c] += *a * (c < RK_PANEL ? b[c] : b[tile->b_panel + (ptrdiff_t)(c - RK_PANEL)]);
      }
      if (--left > 0) continue;
      for (size_t c = 0; c < columns; c++) total[c] += sum[c];
      memset(sum, 0, sizeof sum);
      left = longest;
    }
  }
  for (size_t c = 0; c < columns; c++) sum[c] += total[c];
  rk_store_row_portable(tile, row, sum);
}

static void by_rows(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) multiply_row(tile, r, tile->a + (ptrdiff_t)r * tile->a_stride, 1);
}

static void by_columns(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) multiply_row(tile, r, tile->a + r, tile->a_stride);
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
