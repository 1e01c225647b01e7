#include "bfloat16.h"

#include "arithmetic.h"
#include "bfloat16_rounding.h"
#include "dispatch.h"
#include "fetch.h"
#include "microkernel.h"

RK_LOOP void some_rows(const float *x, const size_t *starts, size_t rows, size_t columns, uint16_t *out) {
  for (size_t r = 0; r < rows; r++) rk_round_to_bfloat16(x + starts[r], columns, out + starts[r]);
}

RK_LOOP void row_pairs(const float *x, size_t stride, size_t columns, size_t pairs, uint32_t *out,
                       size_t panel_stride) {
  enum { AHEAD = 16 };
  for (size_t k = 0; k < pairs; k++, x += 2 * stride, out += RK_PANEL) {
    rk_fetch(x + AHEAD * stride, columns);
    rk_fetch(x + (AHEAD + 1) * stride, columns);
    for (size_t first = 0; first < columns; first += RK_PANEL) {
      const float *even = x + first, *odd = even + stride;
      uint32_t *row = out + first / RK_PANEL * panel_stride;
      size_t count = minimum(columns - first, RK_PANEL);
      RK_INDEPENDENT
      for (size_t c = 0; c < count; c++) {
        row[c] = rk_rounded_bfloat16(even[c]) | (uint32_t)rk_rounded_bfloat16(odd[c]) << 16;
      }
    }
  }
}

RK_DISPATCH(void, rk_float_to_bfloat16, rk_round_to_bfloat16, (const float *x, size_t count, uint16_t *out), (x, count, out))
RK_DISPATCH(void, rk_float_rows_to_bfloat16, some_rows,
            (const float *x, const size_t *starts, size_t rows, size_t columns, uint16_t *out),
            (x, starts, rows, columns, out))
RK_DISPATCH(void, rk_float_row_pairs_to_bfloat16, row_pairs,
            (const float *x, size_t stride, size_t columns, size_t pairs, uint32_t *out, size_t panel_stride),
            (x, stride, columns, pairs, out, panel_stride))
