// Softmax and cross-entropy over the rows of a [rows, classes] matrix, stable for large values.
#ifndef RESIDUAL_SOFTMAX_H
#define RESIDUAL_SOFTMAX_H

#include <stddef.h>
#include <stdint.h>

void rk_softmax(const float *x, size_t rows, size_t classes, float *y);
/// grad_x = y * (grad_y - sum(grad_y * y)), row by row.
void rk_softmax_backward(const float *grad_y, const float *y, size_t rows, size_t classes, float *grad_x);

/// losses[r] = log(sum(exp(x[r]))) - x[r][label[r]]; probabilities (softmax of x) are kept for the backward pass.
void rk_cross_entropy(const float *x, const int64_t *labels, size_t rows, size_t classes, float *probabilities,
                      float *losses);
/// The same with target probabilities [rows, classes]: losses[r] = sum_c -target[r][c] * log_softmax(x[r])[c].
void rk_cross_entropy_soft(const float *x, const float *targets, size_t rows, size_t classes, float *probabilities,
                           float *losses);

#endif
