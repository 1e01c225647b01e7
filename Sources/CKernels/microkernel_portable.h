// The portable microkernels, for any kind of product.
#ifndef RESIDUAL_MICROKERNEL_PORTABLE_H
#define RESIDUAL_MICROKERNEL_PORTABLE_H

#include <string.h>

#include "microkernel.h"

/// Adds the product of an element of A and one of B.
typedef float rk_product_function(float a, float b, float sum);

/// One row of the tile: A(row, k) = a[k * a_step]. As in microkernel_template.h, no sum runs over more than `longest_sum`
/// products before it is added to the total.
static inline __attribute__((always_inline)) void rk_multiply_row_portable(
    const rk_tile *tile, size_t row, const float *first_a, ptrdiff_t a_step, size_t longest_sum,
    rk_product_function *multiply_add) {
  float total[RK_TILE_COLUMNS] = {0}, sum[RK_TILE_COLUMNS] = {0};
  size_t columns = (tile->columns + RK_WHOLE_COLUMNS - 1) / RK_WHOLE_COLUMNS * RK_WHOLE_COLUMNS, left = longest_sum;
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = first_a + tile->stretches[s].a, *b = tile->b + tile->stretches[s].b;
    for (size_t k = 0; k < tile->stretches[s].depth; k++, a += a_step, b += tile->b_stride) {
      for (size_t c = 0; c < columns; c++) {
        sum[c] = multiply_add(*a, c < RK_PANEL ? b[c] : b[tile->b_panel + (ptrdiff_t)(c - RK_PANEL)], sum[c]);
      }
      if (--left > 0) continue;
      for (size_t c = 0; c < columns; c++) total[c] += sum[c];
      memset(sum, 0, sizeof sum);
      left = longest_sum;
    }
  }
  for (size_t c = 0; c < columns; c++) sum[c] += total[c];
  rk_store_row_portable(tile, row, sum);
}

#endif
