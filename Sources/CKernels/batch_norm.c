#include "batch_norm.h"

#include <string.h>

#include "arithmetic.h"
#include "bfloat16_rounding.h"
#include "dispatch.h"

/// Channels whose sums are held in double at a time.
enum { tile = 512 };

/// Rows are added pairwise in groups, the groups of a span one after another in float, the spans in double: nearly the
/// digits of double at the speed of float.
enum { group = 8, span = 32 };

RK_LOOP float pairwise_sum(const float values[group]) {
  return ((values[0] + values[1]) + (values[2] + values[3])) + ((values[4] + values[5]) + (values[6] + values[7]));
}

/// Adds rows `stride` floats apart to the totals of `width` columns.
RK_LOOP void add_to_totals(const float *x, size_t rows, size_t stride, size_t width, double *total) {
  for (size_t row = 0; row < rows; row++, x += stride) {
    for (size_t c = 0; c < width; c++) total[c] += x[c];
  }
}

/// Floats of a long row.
enum { long_row = 32 };

/// Rows of few channels are added side by side, as long rows; then these are folded to the channels.
RK_LOOP void few_columns_sum(const float *x, size_t rows, size_t channels, float *sum) {
  size_t folds = long_row / channels, width = folds * channels, long_rows = rows / folds;
  double total[long_row] = {0};
  if (width == long_row) {  // a constant: registers hold the totals
    add_to_totals(x, long_rows, long_row, long_row, total);
  } else {
    add_to_totals(x, long_rows, width, width, total);
  }
  for (size_t kept = folds, left; kept > 1;) {
    left = kept / 2;
    kept -= left;
    for (size_t c = 0; c < left * channels; c++) total[c] += total[kept * channels + c];
  }
  add_to_totals(x + long_rows * width, rows - long_rows * folds, channels, channels, total);
  for (size_t c = 0; c < channels; c++) sum[c] = (float)total[c];
}

/// Sums in double of a tile of channels at a time: a bias has few gradients, and they cancel.
RK_LOOP void column_sum(const float *x, size_t rows, size_t channels, float *sum) {
  if (channels <= long_row / 2) return few_columns_sum(x, rows, channels, sum);
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin);
    double total[tile] = {0};
    add_to_totals(x + begin, rows, channels, width, total);
    for (size_t c = 0; c < width; c++) sum[begin + c] = (float)total[c];
  }
}

/// Adds `added` rows (a constant: `group` or 1), less the reference, to the running sum and squared deviations of the
/// `before` rows before them, as rk_batch_norm_merge does for chunks.
RK_LOOP void add_rows(const float *rows, size_t before, size_t added, size_t channels, size_t width,
                      const float *reference, float *sum, float *m2) {
  float per_row = before == 0 ? 0 : 1 / (float)before;
  float weight = (float)before * (float)added / (float)(before + added);
  RK_INDEPENDENT
  for (size_t c = 0; c < width; c++) {
    float values[group] = {0}, squares[group] = {0};
    for (size_t k = 0; k < added; k++) values[k] = rows[k * channels + c] - reference[c];
    float added_sum = pairwise_sum(values), added_mean = added_sum / (float)added;
    for (size_t k = 0; k < added; k++) squares[k] = (values[k] - added_mean) * (values[k] - added_mean);
    float delta = added_mean - sum[c] * per_row;
    m2[c] += pairwise_sum(squares) + delta * delta * weight;
    sum[c] += added_sum;
  }
}

/// Merges the sums of a span into mean and squared deviations of the `before` rows before it, by the formula of
/// rk_batch_norm_merge. The next span's values are taken relative to the new mean, near which they are small.
RK_LOOP void end_statistics(size_t before, size_t added, size_t width, float *reference, float *sum, float *m2,
                            double *mean, double *total_m2) {
  double share = (double)added / (double)(before + added);
  for (size_t c = 0; c < width; c++) {
    double delta = (double)reference[c] + sum[c] / (double)added - mean[c];
    mean[c] += delta * share;
    total_m2[c] += m2[c] + delta * delta * ((double)before * share);
    reference[c] = (float)mean[c];
    sum[c] = 0;
    m2[c] = 0;
  }
}

/// One pass over the rows, in tiles of channels whose running sums stay in the first-level cache. Values are taken
/// relative to a mean of other rows, so that a mean far from zero costs no digits.
RK_LOOP void statistics(const float *x, size_t rows, size_t channels, double *mean, double *m2) {
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin), reference_rows = minimum(group, rows);
    float reference[tile] = {0}, sum[tile] = {0}, partial_m2[tile] = {0};
    for (size_t row = 0; row < reference_rows; row++) {
      for (size_t c = 0; c < width; c++) reference[c] += x[row * channels + begin + c] / (float)reference_rows;
    }
    memset(mean + begin, 0, width * sizeof *mean);
    memset(m2 + begin, 0, width * sizeof *m2);
    for (size_t row = 0; row < rows;) {
      size_t first = row, end = minimum(rows, row + span);
      for (; row + group <= end; row += group) {
        add_rows(x + row * channels + begin, row - first, group, channels, width, reference, sum, partial_m2);
      }
      for (; row < end; row++) {
        add_rows(x + row * channels + begin, row - first, 1, channels, width, reference, sum, partial_m2);
      }
      end_statistics(first, end - first, width, reference, sum, partial_m2, mean + begin, m2 + begin);
    }
  }
}

RK_LOOP void merge(const double *means, const double *m2s, const size_t *counts, size_t chunks, size_t channels,
                   float *mean, float *rest, float *variance) {
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin);
    double merged_mean[tile] = {0}, merged_m2[tile] = {0};
    size_t rows = 0;
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      if (counts[chunk] == 0) continue;
      const double *chunk_mean = means + chunk * channels + begin, *chunk_m2 = m2s + chunk * channels + begin;
      double before = (double)rows, added = (double)counts[chunk];
      double share = added / (before + added);
      for (size_t c = 0; c < width; c++) {
        double delta = chunk_mean[c] - merged_mean[c];
        merged_mean[c] += delta * share;
        merged_m2[c] += chunk_m2[c] + delta * delta * (before * share);
      }
      rows += counts[chunk];
    }
    for (size_t c = 0; c < width; c++) {
      mean[begin + c] = (float)merged_mean[c];
      rest[begin + c] = (float)(merged_mean[c] - mean[begin + c]);
      variance[begin + c] = (float)(merged_m2[c] / (double)rows);
    }
  }
}

RK_LOOP void apply_rows(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                        const float *shift, const float *residual, bool adds_residual, bool relu, float *y,
                        uint16_t *copy, bool copies) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      float value = (x[offset + c] - mean[c]) * scale[c] + shift[c];
      if (adds_residual) value += residual[offset + c];
      if (relu) value = value < 0 ? 0 : value;
      y[offset + c] = value;
      if (copies) copy[offset + c] = rk_rounded_bfloat16(value);
    }
  }
}

// The options are spelt out as constants, so that no loop tests them.
RK_LOOP void apply_options(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                           const float *shift, const float *residual, bool relu, float *y, uint16_t *copy,
                           bool copies) {
  if (residual && relu) {
    apply_rows(x, rows, channels, mean, scale, shift, residual, true, true, y, copy, copies);
  } else if (residual) {
    apply_rows(x, rows, channels, mean, scale, shift, residual, true, false, y, copy, copies);
  } else if (relu) {
    apply_rows(x, rows, channels, mean, scale, shift, NULL, false, true, y, copy, copies);
  } else {
    apply_rows(x, rows, channels, mean, scale, shift, NULL, false, false, y, copy, copies);
  }
}

RK_LOOP void apply(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                   const float *shift, const float *residual, bool relu, float *y) {
  apply_options(x, rows, channels, mean, scale, shift, residual, relu, y, NULL, false);
}

RK_LOOP void apply_bfloat16(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                            const float *shift, const float *residual, bool relu, float *y, uint16_t *y_bfloat16) {
  apply_options(x, rows, channels, mean, scale, shift, residual, relu, y, y_bfloat16, true);
}

/// Defines the function `name`, which works on `lanes` columns at a time: it adds `added` rows (a constant: `group` or 1)
/// from element `first` on to the running sums of g and g * (x - mean). These cancel, so they are multiplied and added in
/// double.
#define DEFINE_ADD_GRADIENTS(name, lanes)                                                                              \
  typedef float name##_floats __attribute__((vector_size(lanes * 4), aligned(4), may_alias));                          \
  typedef int32_t name##_bits __attribute__((vector_size(lanes * 4), aligned(4)));                                     \
  typedef double name##_doubles __attribute__((vector_size(lanes * 8), aligned(8), may_alias));                        \
  RK_LOOP void name(const float *grad_y, const float *y, bool masked, const float *x, size_t first, size_t added,      \
                    size_t channels, size_t width, const float *mean, double *sum_g, double *sum_gx) {                 \
    size_t c = 0;                                                                                                      \
    for (; c + lanes <= width; c += lanes) {                                                                           \
      name##_doubles total_g = *(name##_doubles *)(sum_g + c), total_gx = *(name##_doubles *)(sum_gx + c);             \
      name##_doubles center = __builtin_convertvector(*(const name##_floats *)(mean + c), name##_doubles);             \
      for (size_t k = 0; k < added; k++) {                                                                             \
        size_t i = first + k * channels + c;                                                                           \
        name##_floats g = *(const name##_floats *)(grad_y + i), value = *(const name##_floats *)(x + i);               \
        if (masked) g = (name##_floats)((name##_bits)g & ~(*(const name##_floats *)(y + i) <= 0));                     \
        total_g += __builtin_convertvector(g, name##_doubles);                                                         \
        total_gx += __builtin_convertvector(g, name##_doubles) *                                                       \
                    (__builtin_convertvector(value, name##_doubles) - center);                                         \
      }                                                                                                                \
      *(name##_doubles *)(sum_g + c) = total_g;                                                                        \
      *(name##_doubles *)(sum_gx + c) = total_gx;                                                                      \
    }                                                                                                                  \
    for (; c < width; c++) {                                                                                           \
      for (size_t k = 0; k < added; k++) {                                                                             \
        size_t i = first + k * channels + c;                                                                           \
        double g = masked && y[i] <= 0 ? 0 : grad_y[i];                                                                \
        sum_g[c] += g;                                                                                                 \
        sum_gx[c] += g * ((double)x[i] - mean[c]);                                                                     \
      }                                                                                                                \
    }                                                                                                                  \
  }
DEFINE_ADD_GRADIENTS(add_gradients, 8)
/// Reads whole cache lines at once, for lines of rows 4 KiB apart drive each other from the cache. Takes many registers.
DEFINE_ADD_GRADIENTS(add_lines_of_gradients, 16)

RK_LOOP void backward_reduce_rows(const float *grad_y, const float *y, bool masked, const float *x, size_t rows,
                                  size_t channels, const float *mean, const float *inverse_deviation, float *sum_g,
                                  float *sum_g_xhat) {
  bool has_wide_registers = rk_isa_current() == RK_ISA_AVX512 || rk_isa_current() == RK_ISA_AMX;
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin), row = 0;
    double total_g[tile] = {0}, total_gx[tile] = {0};
    for (; row + group <= rows; row += group) {
      size_t first = row * channels + begin;
      if (has_wide_registers) {
        add_lines_of_gradients(grad_y, y, masked, x, first, group, channels, width, mean + begin, total_g, total_gx);
      } else {
        add_gradients(grad_y, y, masked, x, first, group, channels, width, mean + begin, total_g, total_gx);
      }
    }
    for (; row < rows; row++) {
      add_gradients(grad_y, y, masked, x, row * channels + begin, 1, channels, width, mean + begin, total_g, total_gx);
    }
    for (size_t c = 0; c < width; c++) {
      sum_g[begin + c] = (float)total_g[c];
      sum_g_xhat[begin + c] = (float)(total_gx[c] * inverse_deviation[begin + c]);
    }
  }
}

RK_LOOP void backward_reduce(const float *grad_y, const float *y, const float *x, size_t rows, size_t channels,
                             const float *mean, const float *inverse_deviation, float *sum_g, float *sum_g_xhat) {
  if (y) {
    backward_reduce_rows(grad_y, y, true, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat);
  } else {
    backward_reduce_rows(grad_y, NULL, false, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat);
  }
}

RK_LOOP void sum_partials(const float *partials, size_t chunks, size_t channels, bool accumulate, float *out) {
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin);
    double sum[tile] = {0};
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      for (size_t c = 0; c < width; c++) sum[c] += partials[chunk * channels + begin + c];
    }
    for (size_t c = 0; c < width; c++) out[begin + c] = (float)(accumulate ? out[begin + c] + sum[c] : sum[c]);
  }
}

/// What becomes of g, the gradient behind the ReLU, besides its part in grad_x.
typedef enum { drop, store, accumulate } residual_use;

RK_LOOP void backward_apply_rows(const float *grad_y, const float *y, bool masked, const float *x, size_t rows,
                                 size_t channels, const float *mean, const float *a, const float *b, const float *d,
                                 float *grad_x, float *grad_residual, residual_use use) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      size_t i = offset + c;
      float g = masked && y[i] <= 0 ? 0 : grad_y[i];
      if (use != drop) grad_residual[i] = use == accumulate ? grad_residual[i] + g : g;
      grad_x[i] = g * a[c] + ((x[i] - mean[c]) * b[c] + d[c]);
    }
  }
}

RK_LOOP void backward_apply_masked(const float *grad_y, const float *y, bool masked, const float *x, size_t rows,
                                   size_t channels, const float *mean, const float *a, const float *b, const float *d,
                                   float *grad_x, float *grad_residual, bool accumulate_residual) {
  if (!grad_residual) {
    backward_apply_rows(grad_y, y, masked, x, rows, channels, mean, a, b, d, grad_x, NULL, drop);
  } else if (accumulate_residual) {
    backward_apply_rows(grad_y, y, masked, x, rows, channels, mean, a, b, d, grad_x, grad_residual, accumulate);
  } else {
    backward_apply_rows(grad_y, y, masked, x, rows, channels, mean, a, b, d, grad_x, grad_residual, store);
  }
}

RK_LOOP void backward_apply(const float *grad_y, const float *y, const float *x, size_t rows, size_t channels,
                            const float *mean, const float *a, const float *b, const float *d, float *grad_x,
                            float *grad_residual, bool accumulate_residual) {
  if (y) {
    backward_apply_masked(grad_y, y, true, x, rows, channels, mean, a, b, d, grad_x, grad_residual,
                          accumulate_residual);
  } else {
    backward_apply_masked(grad_y, NULL, false, x, rows, channels, mean, a, b, d, grad_x, grad_residual,
                          accumulate_residual);
  }
}

RK_DISPATCH(void, rk_batch_norm_statistics, statistics,
            (const float *x, size_t rows, size_t channels, double *mean, double *m2), (x, rows, channels, mean, m2))
RK_DISPATCH(void, rk_batch_norm_merge, merge,
            (const double *means, const double *m2s, const size_t *counts, size_t chunks, size_t channels, float *mean,
             float *rest, float *variance),
            (means, m2s, counts, chunks, channels, mean, rest, variance))
RK_DISPATCH(void, rk_batch_norm_apply, apply,
            (const float *x, size_t rows, size_t channels, const float *mean, const float *scale, const float *shift,
             const float *residual, bool relu, float *y),
            (x, rows, channels, mean, scale, shift, residual, relu, y))
RK_DISPATCH(void, rk_batch_norm_apply_bfloat16, apply_bfloat16,
            (const float *x, size_t rows, size_t channels, const float *mean, const float *scale, const float *shift,
             const float *residual, bool relu, float *y, uint16_t *y_bfloat16),
            (x, rows, channels, mean, scale, shift, residual, relu, y, y_bfloat16))
RK_DISPATCH(void, rk_batch_norm_backward_reduce, backward_reduce,
            (const float *grad_y, const float *y, const float *x, size_t rows, size_t channels, const float *mean,
             const float *inverse_deviation, float *sum_g, float *sum_g_xhat),
            (grad_y, y, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat))
RK_DISPATCH(void, rk_sum_partials, sum_partials,
            (const float *partials, size_t chunks, size_t channels, bool accumulate, float *out),
            (partials, chunks, channels, accumulate, out))
RK_DISPATCH(void, rk_batch_norm_backward_apply, backward_apply,
            (const float *grad_y, const float *y, const float *x, size_t rows, size_t channels, const float *mean,
             const float *a, const float *b, const float *d, float *grad_x, float *grad_residual,
             bool accumulate_residual),
            (grad_y, y, x, rows, channels, mean, a, b, d, grad_x, grad_residual, accumulate_residual))
RK_DISPATCH(void, rk_column_sum, column_sum, (const float *x, size_t rows, size_t channels, float *sum),
            (x, rows, channels, sum))
