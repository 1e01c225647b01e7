#include "layout.h"

#include <string.h>

#include "arithmetic.h"
#include "dispatch.h"

/// Columns of the result that are written before the next rows: their sources stay in the first-level cache.
enum { tile = 256, side = 8 };

typedef float vector __attribute__((vector_size(side * sizeof(float))));
typedef float unaligned_vector __attribute__((vector_size(side * sizeof(float)), aligned(4), may_alias));

/// Transposes an 8x8 square: neighbours change places first one by one, then two by two, then four by four.
RK_LOOP void transpose_square(const float *x, size_t x_stride, float *out, size_t out_stride) {
  vector a[side], b[side];
  for (size_t i = 0; i < side; i++) a[i] = *(const unaligned_vector *)(x + i * x_stride);
  for (size_t i = 0; i < side; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (size_t i = 0; i < side; i += (i & 1) ? 3 : 1) {
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 2] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (size_t i = 0; i < side / 2; i++) {
    *(unaligned_vector *)(out + i * out_stride) =
        __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(unaligned_vector *)(out + (i + 4) * out_stride) =
        __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// Two to four long rows: the compiler knows how to take them apart and put them together.
RK_LOOP void split(const float *x, size_t a, const size_t b, float *out) {
  for (size_t column = 0; column < a; column++) {
    for (size_t row = 0; row < b; row++) out[row * a + column] = x[column * b + row];
  }
}

RK_LOOP void join(const float *x, const size_t a, size_t b, size_t row_begin, size_t row_end, float *out) {
  for (size_t row = row_begin; row < row_end; row++) {
    for (size_t column = 0; column < a; column++) out[row * a + column] = x[column * b + row];
  }
}

RK_LOOP void transpose(const float *x, size_t a, size_t b, size_t row_begin, size_t row_end, float *out) {
  if (b == 1) return (void)memcpy(out, x, (row_end - row_begin) * a * sizeof *out);
  if (row_begin == 0 && row_end == b) {
    if (b == 2) return split(x, a, 2, out);
    if (b == 3) return split(x, a, 3, out);
    if (b == 4) return split(x, a, 4, out);
  }
  if (a == 2) return join(x, 2, b, row_begin, row_end, out);
  if (a == 3) return join(x, 3, b, row_begin, row_end, out);
  if (a == 4) return join(x, 4, b, row_begin, row_end, out);
  for (size_t begin = 0; begin < a; begin += tile) {
    size_t end = minimum(a, begin + tile);
    size_t row = row_begin;
    for (; row + side <= row_end; row += side) {
      size_t column = begin;
      for (; column + side <= end; column += side) transpose_square(x + column * b + row, b, out + row * a + column, a);
      for (; column < end; column++) {
        for (size_t k = 0; k < side; k++) out[(row + k) * a + column] = x[column * b + row + k];
      }
    }
    for (; row < row_end; row++) {
      for (size_t column = begin; column < end; column++) out[row * a + column] = x[column * b + row];
    }
  }
}

RK_DISPATCH(void, rk_transpose, transpose,
            (const float *x, size_t a, size_t b, size_t row_begin, size_t row_end, float *out),
            (x, a, b, row_begin, row_end, out))
