#include "softmax.h"

#include <math.h>

#include "dispatch.h"
#include "exponential.h"

enum { rk_row_lanes = 16 };

RK_LOOP float row_maximum(const float *x, size_t count) {
  float maximum[rk_row_lanes];
  for (size_t lane = 0; lane < rk_row_lanes; lane++) maximum[lane] = -INFINITY;
  size_t i = 0;
  for (; i + rk_row_lanes <= count; i += rk_row_lanes) {
    for (size_t lane = 0; lane < rk_row_lanes; lane++) {
      maximum[lane] = x[i + lane] > maximum[lane] ? x[i + lane] : maximum[lane];
    }
  }
  for (size_t lane = 0; i + lane < count; lane++) {
    maximum[lane] = x[i + lane] > maximum[lane] ? x[i + lane] : maximum[lane];
  }
  float result = maximum[0];
  for (size_t lane = 1; lane < rk_row_lanes; lane++) result = maximum[lane] > result ? maximum[lane] : result;
  return result;
}

/// Sum of a[i] * b[i] (b NULL: of a[i]).
RK_LOOP float row_sum(const float *a, const float *b, size_t count) {
  float sum[rk_row_lanes] = {0};
  size_t i = 0;
  for (; i + rk_row_lanes <= count; i += rk_row_lanes) {
    for (size_t lane = 0; lane < rk_row_lanes; lane++) sum[lane] += b ? a[i + lane] * b[i + lane] : a[i + lane];
  }
  for (size_t lane = 0; i + lane < count; lane++) sum[lane] += b ? a[i + lane] * b[i + lane] : a[i + lane];
  for (size_t width = rk_row_lanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) sum[lane] += sum[lane + width];
  }
  return sum[0];
}

/// Softmax of one row; returns log(sum(exp(x - maximum))) and the maximum.
RK_LOOP float softmax_row(const float *x, size_t classes, float *y, float *maximum) {
  float top = row_maximum(x, classes);
  RK_INDEPENDENT
  for (size_t c = 0; c < classes; c++) y[c] = rk_exponential(x[c] - top);
  float sum = row_sum(y, NULL, classes);
  RK_INDEPENDENT
  for (size_t c = 0; c < classes; c++) y[c] /= sum;
  *maximum = top;
  return logf(sum);
}

RK_LOOP void softmax(const float *x, size_t rows, size_t classes, float *y) {
  float maximum;
  for (size_t row = 0; row < rows; row++) softmax_row(x + row * classes, classes, y + row * classes, &maximum);
}

RK_LOOP void softmax_backward(const float *grad_y, const float *y, size_t rows, size_t classes, float *grad_x) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * classes;
    float sum = row_sum(grad_y + offset, y + offset, classes);
    RK_INDEPENDENT
    for (size_t i = offset; i < offset + classes; i++) grad_x[i] = y[i] * (grad_y[i] - sum);
  }
}

RK_LOOP void cross_entropy(const float *x, const int64_t *labels, size_t rows, size_t classes, float *probabilities,
                           float *losses) {
  for (size_t row = 0; row < rows; row++) {
    const float *logits = x + row * classes;
    float maximum;
    float log_sum = softmax_row(logits, classes, probabilities + row * classes, &maximum);
    losses[row] = log_sum + (maximum - logits[labels[row]]);
  }
}

RK_LOOP void cross_entropy_soft(const float *x, const float *targets, size_t rows, size_t classes,
                                float *probabilities, float *losses) {
  for (size_t row = 0; row < rows; row++) {
    const float *logits = x + row * classes, *target = targets + row * classes;
    float maximum;
    float log_sum = softmax_row(logits, classes, probabilities + row * classes, &maximum);
    double loss = 0;
    for (size_t c = 0; c < classes; c++) loss += (double)target[c] * (log_sum + (maximum - logits[c]));
    losses[row] = (float)loss;
  }
}

RK_DISPATCH(void, rk_softmax, softmax, (const float *x, size_t rows, size_t classes, float *y), (x, rows, classes, y))
RK_DISPATCH(void, rk_softmax_backward, softmax_backward,
            (const float *grad_y, const float *y, size_t rows, size_t classes, float *grad_x),
            (grad_y, y, rows, classes, grad_x))
RK_DISPATCH(void, rk_cross_entropy, cross_entropy,
            (const float *x, const int64_t *labels, size_t rows, size_t classes, float *probabilities, float *losses),
            (x, labels, rows, classes, probabilities, losses))
RK_DISPATCH(void, rk_cross_entropy_soft, cross_entropy_soft,
            (const float *x, const float *targets, size_t rows, size_t classes, float *probabilities, float *losses),
            (x, targets, rows, classes, probabilities, losses))
