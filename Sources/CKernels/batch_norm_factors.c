// What batch normalisation needs to know of each channel, in double and rounded once.
#include "batch_norm.h"
#include "dispatch.h"

RK_LOOP void factors(const float *variance, const float *rest, const float *weight, const float *bias, double epsilon,
                     size_t channels, float *scale, float *shift, float *inverse_deviation) {
  RK_INDEPENDENT
  for (size_t c = 0; c < channels; c++) {
    double inverse = 1 / __builtin_elementwise_sqrt((double)variance[c] + epsilon);
    double slope = weight != NULL ? weight[c] * inverse : inverse;
    double offset = bias != NULL ? bias[c] : 0;
    inverse_deviation[c] = (float)inverse;
    scale[c] = (float)slope;
    shift[c] = (float)(rest != NULL ? offset - rest[c] * slope : offset);
  }
}

RK_LOOP void slopes(const float *scale, const float *inverse_deviation, const float *rest, size_t rows,
                    size_t channels, const float *sum_g, float *sum_g_xhat, float *b, float *d) {
  double share = rows > 0 ? 1 / (double)rows : 0;
  RK_INDEPENDENT
  for (size_t c = 0; c < channels; c++) {
    double cut = rest != NULL ? rest[c] : 0, inverse = inverse_deviation[c], slope = scale[c];
    double sum_gx = sum_g_xhat[c] - cut * inverse * sum_g[c];
    double mean_g = rows > 0 ? sum_g[c] * share : 0, mean_gx = rows > 0 ? sum_gx * share : 0;
    double b_c = -slope * mean_gx * inverse;
    sum_g_xhat[c] = (float)sum_gx;
    b[c] = (float)b_c;
    d[c] = (float)(-slope * mean_g - cut * b_c);
  }
}

RK_DISPATCH(void, rk_batch_norm_factors, factors,
            (const float *variance, const float *rest, const float *weight, const float *bias, double epsilon,
             size_t channels, float *scale, float *shift, float *inverse_deviation),
            (variance, rest, weight, bias, epsilon, channels, scale, shift, inverse_deviation))
RK_DISPATCH(void, rk_batch_norm_slopes, slopes,
            (const float *scale, const float *inverse_deviation, const float *rest, size_t rows, size_t channels,
             const float *sum_g, float *sum_g_xhat, float *b, float *d),
            (scale, inverse_deviation, rest, rows, channels, sum_g, sum_g_xhat, b, d))
