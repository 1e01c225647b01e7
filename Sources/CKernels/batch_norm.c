#include "batch_norm.h"

#include <string.h>

#include "arithmetic.h"
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

RK_DISPATCH(void, rk_batch_norm_statistics, statistics,
            (const float *x, size_t rows, size_t channels, double *mean, double *m2), (x, rows, channels, mean, m2))
RK_DISPATCH(void, rk_batch_norm_merge, merge,
            (const double *means, const double *m2s, const size_t *counts, size_t chunks, size_t channels, float *mean,
             float *rest, float *variance),
            (means, m2s, counts, chunks, channels, mean, rest, variance))
RK_DISPATCH(void, rk_sum_partials, sum_partials,
            (const float *partials, size_t chunks, size_t channels, bool accumulate, float *out),
            (partials, chunks, channels, accumulate, out))
RK_DISPATCH(void, rk_column_sum, column_sum, (const float *x, size_t rows, size_t channels, float *sum),
            (x, rows, channels, sum))
