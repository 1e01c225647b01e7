#include "winograd_transforms.h"

#include "dispatch.h"
#include "microkernel.h"

// Stands for what lies outside.
static const float zeros[RK_WINOGRAD_PIECE];

// Where rows of an array begin.
typedef struct {
  const float *first;
  size_t stride;
} rows_of;

RK_LOOP rows_of rows_or_zeros(const float *x, size_t row_stride) {
  return x != NULL ? (rows_of){x, row_stride} : (rows_of){zeros, 0};
}

// Bᵀ applied along the row to (x + sign * y)[j].
RK_LOOP void patch_row(const float *const x[4], const float *const y[4], float sign, size_t count, float *out,
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

RK_LOOP void patch_loop(const float *const patch[RK_WINOGRAD_PATCH], size_t row, size_t rows, size_t row_stride,
                        size_t count, float *out, size_t stride) {
  // Row `row` of Bᵀ has a one at `first` and plus or minus one at `second`.
  static const struct {
    int first, second;
    float sign;
  } terms[RK_WINOGRAD_SIDE] = {{0, 2, -1}, {1, 2, 1}, {2, 1, -1}, {1, 3, -1}};
  rows_of first[4], second[4];
  for (int j = 0; j < 4; j++) {
    first[j] = rows_or_zeros(patch[terms[row].first * RK_WINOGRAD_SIDE + j], row_stride);
    second[j] = rows_or_zeros(patch[terms[row].second * RK_WINOGRAD_SIDE + j], row_stride);
  }
  for (size_t r = 0; r < rows; r++, out += count) {
    const float *x[4], *y[4];
    for (int j = 0; j < 4; j++) x[j] = first[j].first + r * first[j].stride;
    for (int j = 0; j < 4; j++) y[j] = second[j].first + r * second[j].stride;
    patch_row(x, y, terms[row].sign, count, out, stride);
  }
}
RK_DISPATCH(void, rk_winograd_transform_patch, patch_loop,
            (const float *const patch[RK_WINOGRAD_PATCH], size_t row, size_t rows, size_t row_stride, size_t count,
             float *out, size_t stride),
            (patch, row, rows, row_stride, count, out, stride))

RK_LOOP void gradient_loop(const float *const tile[RK_WINOGRAD_RESULTS], size_t row, size_t rows, size_t row_stride,
                           size_t count, float *out, size_t stride) {
  // Rows of H.
  static const float factors[RK_WINOGRAD_SIDE][2] = {{1, 0}, {0.5f, 0.5f}, {0.5f, -0.5f}, {0, 1}};
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
RK_DISPATCH(void, rk_winograd_transform_gradient, gradient_loop,
            (const float *const tile[RK_WINOGRAD_RESULTS], size_t row, size_t rows, size_t row_stride, size_t count,
             float *out, size_t stride),
            (tile, row, rows, row_stride, count, out, stride))

// G x for one column of three.
RK_LOOP void transform_kernel(const float x[3], float y[4]) {
  float outer = 0.5f * (x[0] + x[2]), middle = 0.5f * x[1];
  y[0] = x[0];
  y[1] = outer + middle;
  y[2] = outer - middle;
  y[3] = x[2];
}

RK_LOOP void taps_loop(const float *const taps[RK_WINOGRAD_TAPS], size_t count, float *out, size_t stride) {
  const float *g[RK_WINOGRAD_TAPS];
  for (int t = 0; t < RK_WINOGRAD_TAPS; t++) g[t] = taps[t];
  RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
    float columns[3][4];
    for (int j = 0; j < 3; j++) {
      const float column[3] = {g[j][i], g[3 + j][i], g[6 + j][i]};
      transform_kernel(column, columns[j]);
    }
    for (int k = 0; k < 4; k++) {
      const float row[3] = {columns[0][k], columns[1][k], columns[2][k]};
      float y[4];
      transform_kernel(row, y);
      for (int j = 0; j < 4; j++) out[(size_t)(4 * k + j) * stride + i] = y[j];
    }
  }
}
RK_DISPATCH(void, rk_winograd_transform_taps, taps_loop,
            (const float *const taps[RK_WINOGRAD_TAPS], size_t count, float *out, size_t stride),
            (taps, count, out, stride))

// The 2x2 results of one row.
RK_LOOP void transform_row(const float *sums, size_t stride, size_t columns,
                           float y[RK_WINOGRAD_RESULTS][RK_TILE_COLUMNS]) {
  RK_INDEPENDENT for (size_t c = 0; c < columns; c++) {
    float upper[4], lower[4];
    for (int j = 0; j < 4; j++) {
      const float *m = sums + (size_t)j * stride + c;
      float second = m[4 * stride], third = m[8 * stride];
      upper[j] = m[0] + second + third;
      lower[j] = second - third - m[12 * stride];
    }
    y[0][c] = upper[0] + upper[1] + upper[2];
    y[1][c] = upper[1] - upper[2] - upper[3];
    y[2][c] = lower[0] + lower[1] + lower[2];
    y[3][c] = lower[1] - lower[2] - lower[3];
  }
}

RK_LOOP void sums_loop(const rk_winograd_outputs *o) {
  for (size_t r = 0; r < o->rows; r++) {
    float y[RK_WINOGRAD_RESULTS][RK_TILE_COLUMNS];
    transform_row(o->sums + r * o->width, o->stride, o->columns, y);
    for (int q = 0; q < RK_WINOGRAD_RESULTS; q++) {
      if (o->results[q] == NULL) continue;
      float *result = o->results[q] + r * o->result_stride;
      const float *residual = o->residuals[q] != NULL ? o->residuals[q] + r * o->result_stride : NULL;
      for (size_t c = 0; o->accumulate && c < o->columns; c++) y[q][c] += result[c];
      for (size_t c = 0; o->scale != NULL && c < o->columns; c++) y[q][c] *= o->scale[c];
      for (size_t c = 0; o->bias != NULL && c < o->columns; c++) y[q][c] += o->bias[c];
      for (size_t c = 0; residual != NULL && c < o->columns; c++) y[q][c] += residual[c];
      // Written so that a NaN stays one.
      for (size_t c = 0; o->relu && c < o->columns; c++) y[q][c] = y[q][c] < 0 ? 0 : y[q][c];
      for (size_t c = 0; c < o->columns; c++) result[c] = y[q][c];
    }
  }
}
RK_DISPATCH(void, rk_winograd_transform_sums, sums_loop, (const rk_winograd_outputs *outputs), (outputs))

// Cᵀ x for one column of four.
RK_LOOP void transform_products(const float x[4], float y[3]) {
  float sum = x[1] + x[2];
  y[0] = x[0] + sum;
  y[1] = x[1] - x[2];
  y[2] = sum - x[3];
}

RK_LOOP void kernel_sums_loop(const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,
                              float *const results[RK_WINOGRAD_TAPS], size_t result_stride) {
  for (size_t r = 0; r < rows; r++, sums += columns) {
    float y[RK_WINOGRAD_TAPS][RK_TILE_COLUMNS];
    RK_INDEPENDENT for (size_t c = 0; c < columns; c++) {
      float down[4][3];
      for (int j = 0; j < 4; j++) {
        const float *m = sums + (size_t)j * stride + c;
        const float column[4] = {m[0], m[4 * stride], m[8 * stride], m[12 * stride]};
        transform_products(column, down[j]);
      }
      for (int k = 0; k < 3; k++) {
        const float row[4] = {down[0][k], down[1][k], down[2][k], down[3][k]};
        float taps[3];
        transform_products(row, taps);
        for (int j = 0; j < 3; j++) y[3 * k + j][c] = taps[j];
      }
    }
    for (int t = 0; t < RK_WINOGRAD_TAPS; t++) {
      float *result = results[t] + r * result_stride;
      for (size_t c = 0; c < columns; c++) result[c] = accumulate ? result[c] + y[t][c] : y[t][c];
    }
  }
}
RK_DISPATCH(void, rk_winograd_transform_kernel_sums, kernel_sums_loop,
            (const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,
             float *const results[RK_WINOGRAD_TAPS], size_t result_stride),
            (sums, stride, rows, columns, accumulate, results, result_stride))
