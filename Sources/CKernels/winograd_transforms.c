#include "winograd_transforms.h"

#include "dispatch.h"
#include "microkernel.h"

RK_LOOP void patch_loop(const float *const patch[RK_WINOGRAD_PATCH], size_t row, size_t count, float *out,
                        size_t stride) {
  // Row `row` of Bᵀ has a one at `first` and plus or minus one at `second`.
  static const struct {
    int first, second;
    float sign;
  } rows[RK_WINOGRAD_SIDE] = {{0, 2, -1}, {1, 2, 1}, {2, 1, -1}, {1, 3, -1}};
  const float *const *x = patch + rows[row].first * RK_WINOGRAD_SIDE;
  const float *const *y = patch + rows[row].second * RK_WINOGRAD_SIDE;
  const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *y0 = y[0], *y1 = y[1], *y2 = y[2], *y3 = y[3];
  float sign = rows[row].sign;
  RK_INDEPENDENT for (size_t i = 0; i < count; i++) {
    float d0 = x0[i] + sign * y0[i], d1 = x1[i] + sign * y1[i], d2 = x2[i] + sign * y2[i], d3 = x3[i] + sign * y3[i];
    out[i] = d0 - d2;
    out[stride + i] = d1 + d2;
    out[2 * stride + i] = d2 - d1;
    out[3 * stride + i] = d1 - d3;
  }
}
RK_DISPATCH(void, rk_winograd_transform_patch, patch_loop,
            (const float *const patch[RK_WINOGRAD_PATCH], size_t row, size_t count, float *out, size_t stride),
            (patch, row, count, out, stride))

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
