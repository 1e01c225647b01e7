#include "layout.h"

#include <string.h>

#include "dispatch.h"

/// Side of the squares that a transpose is cut into: the rows read and the rows written fit the first-level cache.
enum { rk_transpose_square = 16 };

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

RK_LOOP void transpose(const float *x, size_t a, size_t b, size_t row_begin, size_t row_end, float *out) {
  if (b == 1) {
    memcpy(out, x, (row_end - row_begin) * a * sizeof *out);
    return;
  }
  for (size_t i = 0; i < a; i += rk_transpose_square) {
    size_t i_end = smaller(a, i + rk_transpose_square);
    for (size_t row = row_begin; row < row_end; row++) {
      for (size_t column = i; column < i_end; column++) out[row * a + column] = x[column * b + row];
    }
  }
}

RK_LOOP void oihw_to_ohwi(const float *x, size_t in_channels, size_t spatial, size_t o_begin, size_t o_end,
                          float *out) {
  size_t count = in_channels * spatial;
  for (size_t o = o_begin; o < o_end; o++) {
    transpose(x + o * count, in_channels, spatial, 0, spatial, out + o * count);
  }
}

RK_LOOP void ohwi_to_oihw(const float *x, size_t in_channels, size_t spatial, size_t o_begin, size_t o_end,
                          float *out) {
  size_t count = in_channels * spatial;
  for (size_t o = o_begin; o < o_end; o++) {
    transpose(x + o * count, spatial, in_channels, 0, in_channels, out + o * count);
  }
}

RK_DISPATCH(void, rk_transpose, transpose,
            (const float *x, size_t a, size_t b, size_t row_begin, size_t row_end, float *out),
            (x, a, b, row_begin, row_end, out))
RK_DISPATCH(void, rk_oihw_to_ohwi, oihw_to_ohwi,
            (const float *x, size_t in_channels, size_t spatial, size_t o_begin, size_t o_end, float *out),
            (x, in_channels, spatial, o_begin, o_end, out))
RK_DISPATCH(void, rk_ohwi_to_oihw, ohwi_to_oihw,
            (const float *x, size_t in_channels, size_t spatial, size_t o_begin, size_t o_end, float *out),
            (x, in_channels, spatial, o_begin, o_end, out))
