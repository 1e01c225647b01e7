// Batch normalisation over the rows of a [rows, channels] matrix (Ioffe and Szegedy 2015, arXiv:1502.03167).
//
// The reductions work on a range of rows ("chunk") and leave one partial result per chunk; the merge functions add the
// partials in chunk order. The caller chooses chunks from the shape alone.
#ifndef RESIDUAL_BATCH_NORM_H
#define RESIDUAL_BATCH_NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Mean and sum of squared deviations from that mean, per channel, of one chunk of rows. rows >= 1.
void rk_batch_norm_statistics(const float *x, size_t rows, size_t channels, double *mean, double *m2);

/// Merges `chunks` partials (each [channels]; chunk k at k * channels, of counts[k] rows) by the pairwise formula of
/// Chan, Golub and LeVeque, in double: mean and biased variance (m2 / rows) of all rows. `rest` is what rounding has cut
/// off the mean: where the mean is a thousand deviations from zero, a float is not enough for it.
void rk_batch_norm_merge(const double *means, const double *m2s, const size_t *counts, size_t chunks, size_t channels,
                         float *mean, float *rest, float *variance);

/// What makes (x - mean) / sqrt(variance + epsilon) * weight + bias one product and one sum for each channel: scale, shift,
/// and the inverse deviation that is in them. `rest`, `weight` and `bias` are NULL where there is none.
void rk_batch_norm_factors(const float *variance, const float *rest, const float *weight, const float *bias,
                           double epsilon, size_t channels, float *scale, float *shift, float *inverse_deviation);

/// Bytes that say of each channel of a row, one bit each, whether a ReLU lets it through.
static inline size_t rk_relu_mask_bytes(size_t channels) { return (channels + 7) / 8; }

/// y = (x - mean[c]) * scale[c] + shift[c] + residual; the residual (NULL for none) has x's shape. With a mask max(0, y), and
/// the mask, of rk_relu_mask_bytes a row, says where y is above 0 or a NaN. y_bfloat16 (NULL for none) gets y rounded. y may
/// be x. (x * scale + shift would cancel where the mean is far from zero.)
void rk_batch_norm_apply(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                         const float *shift, const float *residual, float *y, uint8_t *mask, uint16_t *y_bfloat16);

/// Per channel, over one chunk: sum of g and sum of g * (x - mean) * inverse_deviation, where g is grad_y where the mask
/// (NULL: everywhere) is set, else 0.
void rk_batch_norm_backward_reduce(const float *grad_y, const uint8_t *mask, const float *x, size_t rows,
                                   size_t channels, const float *mean, const float *inverse_deviation, float *sum_g,
                                   float *sum_g_xhat);

/// Adds `chunks` partial rows [channels] in chunk order, in double; out = (or += when accumulate) the sums.
void rk_sum_partials(const float *partials, size_t chunks, size_t channels, bool accumulate, float *out);

/// From the sums over all `rows` rows, the derivative as grad_x = g * scale[c] + (x - mean[c]) * b[c] + d[c]. Both means of
/// g and g * xhat count as absent where `rows` is 0: then the statistics are constants. The sum of g * xhat, taken with
/// the rounded mean, becomes that with the whole mean.
void rk_batch_norm_slopes(const float *scale, const float *inverse_deviation, const float *rest, size_t rows,
                          size_t channels, const float *sum_g, float *sum_g_xhat, float *b, float *d);

/// With g as above: grad_x = g * a[c] + (x - mean[c]) * b[c] + d[c], rounded to grad_x_bfloat16 (NULL for none) too;
/// grad_residual (NULL for none) = (or += when it accumulates) g. grad_x may be grad_y.
void rk_batch_norm_backward_apply(const float *grad_y, const uint8_t *mask, const float *x, size_t rows,
                                  size_t channels, const float *mean, const float *a, const float *b, const float *d,
                                  float *grad_x, uint16_t *grad_x_bfloat16, float *grad_residual, bool accumulates);

/// Sum of each column of a chunk of rows.
void rk_column_sum(const float *x, size_t rows, size_t channels, float *sum);

#endif
