// What the transforms have in common, for the files that define them.
#ifndef RESIDUAL_WINOGRAD_LOOPS_H
#define RESIDUAL_WINOGRAD_LOOPS_H

#include "dispatch.h"
#include "microkernel.h"
#include "winograd_transforms.h"

// Where rows of an array begin.
typedef struct {
  const float *first;
  size_t stride;
} rows_of;

RK_LOOP rows_of rows_or_zeros(const float *x, size_t row_stride) {
  static const float zeros[RK_WINOGRAD_PIECE];
  return x != NULL ? (rows_of){x, row_stride} : (rows_of){zeros, 0};
}

// Aᵀ m A of the elements m[q * stride].
typedef void results_of(const float *m, size_t stride, float y[RK_WINOGRAD_RESULTS]);

RK_LOOP void write_results(const rk_winograd_outputs *o, results_of *transform) {
  for (size_t r = 0; r < o->rows; r++) {
    float y[RK_WINOGRAD_RESULTS][RK_TILE_COLUMNS];
    const float *sums = o->sums + r * o->width;
    RK_INDEPENDENT for (size_t c = 0; c < o->columns; c++) {
      float results[RK_WINOGRAD_RESULTS];
      transform(sums + c, o->stride, results);
      for (int q = 0; q < RK_WINOGRAD_RESULTS; q++) y[q][c] = results[q];
    }
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

// Gᵀ m G of the elements m[q * stride].
typedef void taps_of(const float *m, size_t stride, float y[RK_WINOGRAD_TAPS]);

RK_LOOP void write_taps(const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,
                        float *const *results, size_t result_stride, taps_of *transform) {
  for (size_t r = 0; r < rows; r++, sums += columns) {
    float y[RK_WINOGRAD_TAPS][RK_TILE_COLUMNS];
    RK_INDEPENDENT for (size_t c = 0; c < columns; c++) {
      float taps[RK_WINOGRAD_TAPS];
      transform(sums + c, stride, taps);
      for (int t = 0; t < RK_WINOGRAD_TAPS; t++) y[t][c] = taps[t];
    }
    for (int t = 0; t < RK_WINOGRAD_TAPS; t++) {
      float *result = results[t] + r * result_stride;
      // A loop of its own: in one with the next, the compiler loads the result in any case, and that waits for memory.
      for (size_t c = 0; accumulate && c < columns; c++) y[t][c] += result[c];
      for (size_t c = 0; c < columns; c++) result[c] = y[t][c];
    }
  }
}

// The transforms `name`, of the including file's functions
//   patch_loop, gradient_loop, taps_loop   as transform_patch, transform_gradient and transform_taps
//   results, taps                          as results_of and taps_of
// with the sizes that follow as fields.
#define RK_DEFINE_WINOGRAD(name, ...)                                                                                  \
  RK_LOOP void sums_loop(const rk_winograd_outputs *outputs) { write_results(outputs, results); }                      \
  RK_LOOP void kernel_sums_loop(const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,        \
                                float *const *to, size_t to_stride) {                                                  \
    write_taps(sums, stride, rows, columns, accumulate, to, to_stride, taps);                                          \
  }                                                                                                                    \
  RK_DISPATCH(void, name##_patch, patch_loop,                                                                 \
              (const float *const *patch, size_t row, size_t rows, size_t row_stride, size_t count, float *out,        \
               size_t stride),                                                                                         \
              (patch, row, rows, row_stride, count, out, stride))                                                      \
  RK_DISPATCH(void, name##_gradient, gradient_loop,                                                           \
              (const float *const *tile, size_t row, size_t rows, size_t row_stride, size_t count, float *out,         \
               size_t stride),                                                                                         \
              (tile, row, rows, row_stride, count, out, stride))                                                       \
  RK_DISPATCH(void, name##_taps, taps_loop,                                                                   \
              (const float *const *kernel, size_t count, float *out, size_t stride), (kernel, count, out, stride))     \
  RK_DISPATCH(void, name##_sums, sums_loop, (const rk_winograd_outputs *outputs), (outputs))                  \
  RK_DISPATCH(void, name##_kernel_sums, kernel_sums_loop,                                                     \
              (const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate, float *const *to,       \
               size_t to_stride),                                                                                      \
              (sums, stride, rows, columns, accumulate, to, to_stride))                                                \
  const rk_winograd_transforms name = {                                                                                \
      .transform_patch = name##_patch,                                                                                 \
      .transform_gradient = name##_gradient,                                                                           \
      .transform_taps = name##_taps,                                                                                   \
      .transform_sums = name##_sums,                                                                                   \
      .transform_kernel_sums = name##_kernel_sums,                                                                     \
      __VA_ARGS__,                                                                                                     \
  };

#endif
