// Elementwise operations on `count` consecutive floats. Outputs may be inputs.
#ifndef RESIDUAL_ELEMENTWISE_H
#define RESIDUAL_ELEMENTWISE_H

#include <stddef.h>

void rk_fill(float *x, size_t count, float value);
void rk_add(const float *a, const float *b, size_t count, float *out);
void rk_subtract(const float *a, const float *b, size_t count, float *out);
void rk_multiply(const float *a, const float *b, size_t count, float *out);
/// out = x * scale
void rk_scale(const float *x, float scale, size_t count, float *out);
/// out += x * scale
void rk_add_scaled(const float *x, float scale, size_t count, float *out);

/// y = max(0, x); a NaN stays.
void rk_relu(const float *x, size_t count, float *y);
/// grad_x = 0 where y <= 0, else grad_y (so also where y is NaN, as in PyTorch).
void rk_relu_backward(const float *grad_y, const float *y, size_t count, float *grad_x);

/// y = 1 / (1 + exp(-x))
void rk_sigmoid(const float *x, size_t count, float *y);
/// grad_x = grad_y * y * (1 - y)
void rk_sigmoid_backward(const float *grad_y, const float *y, size_t count, float *grad_x);

/// Sum in double, in a fixed order.
double rk_sum(const float *x, size_t count);
/// Sum of squares in double, in a fixed order: for the norm that gradients are clipped by.
double rk_sum_of_squares(const float *x, size_t count);

#endif
