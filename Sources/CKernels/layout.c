#include "layout.h"

#include <string.h>

#include "arithmetic.h"
#include "dispatch.h"

/// Rows that are transposed before the next ones: they stay in the first-level cache.
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
RK_LOOP void split(const float *x, size_t rows, const size_t columns, float *out, size_t out_stride) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < columns; c++) out[c * out_stride + r] = x[r * columns + c];
  }
}

RK_LOOP void join(const float *x, size_t x_stride, const size_t rows, size_t columns, float *out) {
  for (size_t c = 0; c < columns; c++) {
    for (size_t r = 0; r < rows; r++) out[c * rows + r] = x[r * x_stride + c];
  }
}

RK_LOOP void transpose(const float *x, size_t x_stride, size_t rows, size_t columns, float *out, size_t out_stride) {
  if (columns == 1 && x_stride == 1) return (void)memcpy(out, x, rows * sizeof *out);
  if (x_stride == columns) {
    if (columns == 2) return split(x, rows, 2, out, out_stride);
    if (columns == 3) return split(x, rows, 3, out, out_stride);
    if (columns == 4) return split(x, rows, 4, out, out_stride);
  }
  if (out_stride == rows) {
    if (rows == 2) return join(x, x_stride, 2, columns, out);
    if (rows == 3) return join(x, x_stride, 3, columns, out);
    if (rows == 4) return join(x, x_stride, 4, columns, out);
  }
  for (size_t begin = 0; begin < rows; begin += tile) {
    size_t end = minimum(rows, begin + tile), c = 0;
    for (; c + side <= columns; c += side) {
      size_t r = begin;
      for (; r + side <= end; r += side) {
        transpose_square(x + r * x_stride + c, x_stride, out + c * out_stride + r, out_stride);
      }
      for (; r < end; r++) {
        for (size_t k = c; k < c + side; k++) out[k * out_stride + r] = x[r * x_stride + k];
      }
    }
    for (; c < columns; c++) {
      for (size_t r = begin; r < end; r++) out[c * out_stride + r] = x[r * x_stride + c];
    }
  }
}

RK_DISPATCH(void, rk_transpose, transpose,
            (const float *x, size_t x_stride, size_t rows, size_t columns, float *out, size_t out_stride),
            (x, x_stride, rows, columns, out, out_stride))
