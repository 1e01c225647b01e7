// F(2x2, 3x3) with the points 0, 1, -1 and infinity.
#include "winograd_loops.h"

enum { SIDE = 4, PATCH = SIDE * SIDE };

// Bᵀ applied along the row to (x + sign * y)[j].
RK_LOOP void patch_row(const float *const x[SIDE], const float *const y[SIDE], float sign, size_t count, float *out,
                       size_t stride) {
  const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *y0 = y[0], *y1 = y[1], *y2 = y[2], *y3 = y[3];
  RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
    float d0 = x0[i] + sign * y0[i], d1 = x1[i] + sign * y1[i], d2 = x2[i] + sign * y2[i], d3 = x3[i] + sign * y3[i];
    out[i] = d0 - d2;
    out[stride + i] = d1 + d2;
    out[2 * stride + i] = d2 - d1;
    out[3 * stride + i] = d1 - d3;
  }
}

RK_LOOP void patch_loop(const float *const *patch, size_t row, size_t rows, size_t row_stride, size_t count, float *out,
                        size_t stride) {
  // Row `row` of Bᵀ has a one at `first` and plus or minus one at `second`.
  static const struct {
    int first, second;
    float sign;
  } terms[SIDE] = {{0, 2, -1}, {1, 2, 1}, {2, 1, -1}, {1, 3, -1}};
  rows_of first[SIDE], second[SIDE];
  for (int j = 0; j < SIDE; j++) {
    first[j] = rows_or_zeros(patch[terms[row].first * SIDE + j], row_stride);
    second[j] = rows_or_zeros(patch[terms[row].second * SIDE + j], row_stride);
  }
  for (size_t r = 0; r < rows; r++, out += count) {
    const float *x[SIDE], *y[SIDE];
    for (int j = 0; j < SIDE; j++) x[j] = first[j].first + r * first[j].stride;
    for (int j = 0; j < SIDE; j++) y[j] = second[j].first + r * second[j].stride;
    patch_row(x, y, terms[row].sign, count, out, stride);
  }
}

// A with its second and third row halved, as Gᵀ in the kernel's gradient has none of these halves.
RK_LOOP void gradient_loop(const float *const *tile, size_t row, size_t rows, size_t row_stride, size_t count,
                           float *out, size_t stride) {
  static const float factors[SIDE][2] = {{1, 0}, {0.5f, 0.5f}, {0.5f, -0.5f}, {0, 1}};
  float upper = factors[row][0], lower = factors[row][1];
  rows_of e[RK_WINOGRAD_RESULTS];
  for (int q = 0; q < RK_WINOGRAD_RESULTS; q++) e[q] = rows_or_zeros(tile[q], row_stride);
  for (size_t r = 0; r < rows; r++, out += count) {
    const float *e0 = e[0].first + r * e[0].stride, *e1 = e[1].first + r * e[1].stride;
    const float *e2 = e[2].first + r * e[2].stride, *e3 = e[3].first + r * e[3].stride;
    RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
      float left = upper * e0[i] + lower * e2[i], right = upper * e1[i] + lower * e3[i];
      out[i] = left;
      out[stride + i] = 0.5f * (left + right);
      out[2 * stride + i] = 0.5f * (left - right);
      out[3 * stride + i] = right;
    }
  }
}

// G x for one column of three.
RK_LOOP void transform_kernel(const float x[3], float y[SIDE]) {
  float outer = 0.5f * (x[0] + x[2]), middle = 0.5f * x[1];
  y[0] = x[0];
  y[1] = outer + middle;
  y[2] = outer - middle;
  y[3] = x[2];
}

RK_LOOP void taps_loop(const float *const *taps, size_t count, float *out, size_t stride) {
  const float *g[RK_WINOGRAD_TAPS];
  for (int t = 0; t < RK_WINOGRAD_TAPS; t++) g[t] = taps[t];
  RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
    float columns[3][SIDE];
    for (int j = 0; j < 3; j++) {
      const float column[3] = {g[j][i], g[3 + j][i], g[6 + j][i]};
      transform_kernel(column, columns[j]);
    }
    for (int k = 0; k < SIDE; k++) {
      const float row[3] = {columns[0][k], columns[1][k], columns[2][k]};
      float y[SIDE];
      transform_kernel(row, y);
      for (int j = 0; j < SIDE; j++) out[(size_t)(SIDE * k + j) * stride + i] = y[j];
    }
  }
}

RK_LOOP void results(const float *m, size_t stride, float y[RK_WINOGRAD_RESULTS]) {
  float upper[SIDE], lower[SIDE];
  for (int j = 0; j < SIDE; j++, m += stride) {
    float second = m[4 * stride], third = m[8 * stride];
    upper[j] = m[0] + second + third;
    lower[j] = second - third - m[12 * stride];
  }
  y[0] = upper[0] + upper[1] + upper[2];
  y[1] = upper[1] - upper[2] - upper[3];
  y[2] = lower[0] + lower[1] + lower[2];
  y[3] = lower[1] - lower[2] - lower[3];
}

// Gᵀ x, but for the halves, for one column of four.
RK_LOOP void transform_products(const float x[SIDE], float y[3]) {
  float sum = x[1] + x[2];
  y[0] = x[0] + sum;
  y[1] = x[1] - x[2];
  y[2] = sum - x[3];
}

RK_LOOP void taps(const float *m, size_t stride, float y[RK_WINOGRAD_TAPS]) {
  float down[SIDE][3];
  for (int j = 0; j < SIDE; j++, m += stride) {
    const float column[SIDE] = {m[0], m[4 * stride], m[8 * stride], m[12 * stride]};
    transform_products(column, down[j]);
  }
  for (int k = 0; k < 3; k++) {
    const float row[SIDE] = {down[0][k], down[1][k], down[2][k], down[3][k]};
    transform_products(row, y + 3 * k);
  }
}

RK_DEFINE_WINOGRAD(rk_winograd_4x4, .side = SIDE, .products = SIDE * SIDE, .patch_side = SIDE)
