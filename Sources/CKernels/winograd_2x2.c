// 2x2 images with padding 1. Along an axis, of the positions x and the taps g in three products:
//   y0 = (x0 - x1) g1 + x1 (g1 + g2)
//   y1 = x0 (g0 + g1) - (x0 - x1) g1
// Sums of taps and differences of positions are the form that rounds best: what comes out of a ReLU has a mean.
#include "winograd_loops.h"

enum { SIDE = 3, PATCH_SIDE = 2 };

// Row `row` of X d Xᵀ, with the rows x0 - x1, x1, x0 of X; or, for gradients, which are used crosswise, with the last
// two exchanged.
RK_LOOP void square_loop(const float *const *square, bool crosswise, size_t row, size_t rows, size_t row_stride,
                         size_t count, float *out, size_t stride) {
  bool difference = row == 0, lower = row == (crosswise ? 2 : 1);
  const float *const *first = square + (lower ? PATCH_SIDE : 0), *const *second = square + PATCH_SIDE;
  float *differences = out, *lefts = out + (crosswise ? 1 : 2) * stride, *rights = out + (crosswise ? 2 : 1) * stride;
  for (size_t r = 0; r < rows; r++) {
    const float *x0 = first[0] + r * row_stride, *x1 = first[1] + r * row_stride;
    const float *y0 = second[0] + r * row_stride, *y1 = second[1] + r * row_stride;
    RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
      float left = difference ? x0[i] - y0[i] : x0[i], right = difference ? x1[i] - y1[i] : x1[i];
      differences[r * count + i] = left - right;
      lefts[r * count + i] = left;
      rights[r * count + i] = right;
    }
  }
}

RK_LOOP void patch_loop(const float *const *patch, size_t row, size_t rows, size_t row_stride, size_t count, float *out,
                        size_t stride) {
  square_loop(patch, false, row, rows, row_stride, count, out, stride);
}

RK_LOOP void gradient_loop(const float *const *tile, size_t row, size_t rows, size_t row_stride, size_t count,
                           float *out, size_t stride) {
  square_loop(tile, true, row, rows, row_stride, count, out, stride);
}

RK_LOOP void taps_loop(const float *const *taps, size_t count, float *out, size_t stride) {
  const float *g[RK_WINOGRAD_TAPS];
  for (int t = 0; t < RK_WINOGRAD_TAPS; t++) g[t] = taps[t];
  RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
    float rows[SIDE][3];
    for (int j = 0; j < 3; j++) {
      rows[0][j] = g[3 + j][i];
      rows[1][j] = g[3 + j][i] + g[6 + j][i];
      rows[2][j] = g[j][i] + g[3 + j][i];
    }
    for (int k = 0; k < SIDE; k++) {
      float *row = out + (size_t)(SIDE * k) * stride + i;
      row[0] = rows[k][1];
      row[stride] = rows[k][1] + rows[k][2];
      row[2 * stride] = rows[k][0] + rows[k][1];
    }
  }
}

RK_LOOP void results(const float *m, size_t stride, float y[RK_WINOGRAD_RESULTS]) {
  float upper[SIDE], lower[SIDE];
  for (int j = 0; j < SIDE; j++, m += stride) {
    upper[j] = m[0] + m[3 * stride];
    lower[j] = m[6 * stride] - m[0];
  }
  y[0] = upper[0] + upper[1];
  y[1] = upper[2] - upper[0];
  y[2] = lower[0] + lower[1];
  y[3] = lower[2] - lower[0];
}

RK_LOOP void taps(const float *m, size_t stride, float y[RK_WINOGRAD_TAPS]) {
  float rows[3][SIDE];
  for (int j = 0; j < SIDE; j++, m += stride) {
    rows[0][j] = m[6 * stride];
    rows[1][j] = m[0] + m[3 * stride] + m[6 * stride];
    rows[2][j] = m[3 * stride];
  }
  for (int k = 0; k < 3; k++) {
    y[3 * k] = rows[k][2];
    y[3 * k + 1] = rows[k][0] + rows[k][1] + rows[k][2];
    y[3 * k + 2] = rows[k][1];
  }
}

RK_DEFINE_WINOGRAD(rk_winograd_2x2, .side = SIDE, .products = SIDE * SIDE, .patch_side = PATCH_SIDE, .patch_inset = 1,
                   .short_sums = true)
