#include "batch_norm.h"

#include "dispatch.h"

/// Channels that the merges hold in double at a time.
enum { rk_merge_width = 64 };

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/// Adds the columns of eight rows pairwise, then to the running sums: fewer roundings than row by row, and one pass
/// over the sums for eight over the rows.
RK_LOOP void column_sum(const float *x, size_t rows, size_t channels, float *sum) {
  for (size_t c = 0; c < channels; c++) sum[c] = 0;
  size_t row = 0;
  for (; row + 8 <= rows; row += 8) {
    const float *a = x + row * channels, *b = a + 4 * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      sum[c] += ((a[c] + a[channels + c]) + (a[2 * channels + c] + a[3 * channels + c])) +
                ((b[c] + b[channels + c]) + (b[2 * channels + c] + b[3 * channels + c]));
    }
  }
  for (; row < rows; row++) {
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) sum[c] += x[row * channels + c];
  }
}

RK_LOOP void statistics(const float *x, size_t rows, size_t channels, float *mean, float *m2) {
  column_sum(x, rows, channels, mean);
  float reciprocal = 1 / (float)rows;
  for (size_t c = 0; c < channels; c++) {
    mean[c] *= reciprocal;
    m2[c] = 0;
  }
  for (size_t row = 0; row < rows; row++) {
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      float deviation = x[row * channels + c] - mean[c];
      m2[c] += deviation * deviation;
    }
  }
}

RK_LOOP void merge(const float *means, const float *m2s, const size_t *counts, size_t chunks, size_t channels,
                   float *mean, float *variance) {
  for (size_t begin = 0; begin < channels; begin += rk_merge_width) {
    size_t width = smaller(rk_merge_width, channels - begin);
    double merged_mean[rk_merge_width] = {0}, merged_m2[rk_merge_width] = {0};
    size_t rows = 0;
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      if (counts[chunk] == 0) continue;
      const float *chunk_mean = means + chunk * channels + begin, *chunk_m2 = m2s + chunk * channels + begin;
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
      variance[begin + c] = (float)(merged_m2[c] / (double)rows);
    }
  }
}

RK_LOOP void apply(const float *x, size_t rows, size_t channels, const float *scale, const float *shift,
                   const float *residual, bool relu, float *y) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      float value = x[offset + c] * scale[c] + shift[c];
      if (residual) value += residual[offset + c];
      if (relu) value = value < 0 ? 0 : value;
      y[offset + c] = value;
    }
  }
}

RK_LOOP void backward_reduce(const float *grad_y, const float *y, const float *x, size_t rows, size_t channels,
                             const float *mean, const float *inverse_deviation, float *sum_g, float *sum_g_xhat) {
  for (size_t c = 0; c < channels; c++) sum_g[c] = sum_g_xhat[c] = 0;
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      float g = y && y[offset + c] <= 0 ? 0 : grad_y[offset + c];
      sum_g[c] += g;
      sum_g_xhat[c] += g * (x[offset + c] - mean[c]);
    }
  }
  for (size_t c = 0; c < channels; c++) sum_g_xhat[c] *= inverse_deviation[c];
}

RK_LOOP void sum_partials(const float *partials, size_t chunks, size_t channels, bool accumulate, float *out) {
  for (size_t begin = 0; begin < channels; begin += rk_merge_width) {
    size_t width = smaller(rk_merge_width, channels - begin);
    double sum[rk_merge_width] = {0};
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      for (size_t c = 0; c < width; c++) sum[c] += partials[chunk * channels + begin + c];
    }
    for (size_t c = 0; c < width; c++) out[begin + c] = (float)(accumulate ? out[begin + c] + sum[c] : sum[c]);
  }
}

RK_LOOP void backward_apply(const float *grad_y, const float *y, const float *x, size_t rows, size_t channels,
                            const float *a, const float *b, const float *d, float *grad_x, float *grad_residual,
                            bool accumulate_residual) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    RK_INDEPENDENT
    for (size_t c = 0; c < channels; c++) {
      float g = y && y[offset + c] <= 0 ? 0 : grad_y[offset + c];
      if (grad_residual) grad_residual[offset + c] = accumulate_residual ? grad_residual[offset + c] + g : g;
      grad_x[offset + c] = g * a[c] + x[offset + c] * b[c] + d[c];
    }
  }
}

RK_DISPATCH(void, rk_batch_norm_statistics, statistics,
            (const float *x, size_t rows, size_t channels, float *mean, float *m2), (x, rows, channels, mean, m2))
RK_DISPATCH(void, rk_batch_norm_merge, merge,
            (const float *means, const float *m2s, const size_t *counts, size_t chunks, size_t channels, float *mean,
             float *variance),
            (means, m2s, counts, chunks, channels, mean, variance))
RK_DISPATCH(void, rk_batch_norm_apply, apply,
            (const float *x, size_t rows, size_t channels, const float *scale, const float *shift,
             const float *residual, bool relu, float *y),
            (x, rows, channels, scale, shift, residual, relu, y))
RK_DISPATCH(void, rk_batch_norm_backward_reduce, backward_reduce,
            (const float *grad_y, const float *y, const float *x, size_t rows, size_t channels, const float *mean,
             const float *inverse_deviation, float *sum_g, float *sum_g_xhat),
            (grad_y, y, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat))
RK_DISPATCH(void, rk_sum_partials, sum_partials,
            (const float *partials, size_t chunks, size_t channels, bool accumulate, float *out),
            (partials, chunks, channels, accumulate, out))
RK_DISPATCH(void, rk_batch_norm_backward_apply, backward_apply,
            (const float *grad_y, const float *y, const float *x, size_t rows, size_t channels, const float *a,
             const float *b, const float *d, float *grad_x, float *grad_residual, bool accumulate_residual),
            (grad_y, y, x, rows, channels, a, b, d, grad_x, grad_residual, accumulate_residual))
RK_DISPATCH(void, rk_column_sum, column_sum, (const float *x, size_t rows, size_t channels, float *sum),
            (x, rows, channels, sum))
