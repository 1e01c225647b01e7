#include "elementwise.h"

#include "dispatch.h"
#include "exponential.h"

RK_LOOP void fill(float *x, size_t count, float value) {
  for (size_t i = 0; i < count; i++) x[i] = value;
}

RK_LOOP void add(const float *a, const float *b, size_t count, float *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

RK_LOOP void subtract(const float *a, const float *b, size_t count, float *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = a[i] - b[i];
}

RK_LOOP void multiply(const float *a, const float *b, size_t count, float *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = a[i] * b[i];
}

RK_LOOP void scale_by(const float *x, float scale, size_t count, float *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = x[i] * scale;
}

RK_LOOP void add_scaled(const float *x, float scale, size_t count, float *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] += x[i] * scale;
}

RK_LOOP void relu(const float *x, size_t count, float *y) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

RK_LOOP void relu_backward(const float *grad_y, const float *y, size_t count, float *grad_x) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) grad_x[i] = y[i] <= 0 ? 0 : grad_y[i];
}

RK_LOOP void sigmoid(const float *x, size_t count, float *y) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) y[i] = 1 / (1 + rk_exponential(-x[i]));
}

RK_LOOP void sigmoid_backward(const float *grad_y, const float *y, size_t count, float *grad_x) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) grad_x[i] = grad_y[i] * ((1 - y[i]) * y[i]);
}

RK_LOOP double term(double value, bool squares) { return squares ? value * value : value; }

RK_LOOP double sum_of(const float *x, size_t count, bool squares) {
  enum { lanes = 32 };
  double partial[lanes] = {0};
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (size_t lane = 0; lane < lanes; lane++) partial[lane] += term(x[i + lane], squares);
  }
  for (size_t lane = 0; i + lane < count; lane++) partial[lane] += term(x[i + lane], squares);
  for (size_t width = lanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) partial[lane] += partial[lane + width];
  }
  return partial[0];
}

RK_LOOP double sum(const float *x, size_t count) { return sum_of(x, count, false); }
RK_LOOP double sum_of_squares(const float *x, size_t count) { return sum_of(x, count, true); }

RK_DISPATCH(void, rk_fill, fill, (float *x, size_t count, float value), (x, count, value))
RK_DISPATCH(void, rk_add, add, (const float *a, const float *b, size_t count, float *out), (a, b, count, out))
RK_DISPATCH(void, rk_subtract, subtract, (const float *a, const float *b, size_t count, float *out),
            (a, b, count, out))
RK_DISPATCH(void, rk_multiply, multiply, (const float *a, const float *b, size_t count, float *out),
            (a, b, count, out))
RK_DISPATCH(void, rk_scale, scale_by, (const float *x, float scale, size_t count, float *out), (x, scale, count, out))
RK_DISPATCH(void, rk_add_scaled, add_scaled, (const float *x, float scale, size_t count, float *out),
            (x, scale, count, out))
RK_DISPATCH(void, rk_relu, relu, (const float *x, size_t count, float *y), (x, count, y))
RK_DISPATCH(void, rk_relu_backward, relu_backward, (const float *grad_y, const float *y, size_t count, float *grad_x),
            (grad_y, y, count, grad_x))
RK_DISPATCH(void, rk_sigmoid, sigmoid, (const float *x, size_t count, float *y), (x, count, y))
RK_DISPATCH(void, rk_sigmoid_backward, sigmoid_backward,
            (const float *grad_y, const float *y, size_t count, float *grad_x), (grad_y, y, count, grad_x))
RK_DISPATCH(double, rk_sum, sum, (const float *x, size_t count), (x, count))
RK_DISPATCH(double, rk_sum_of_squares, sum_of_squares, (const float *x, size_t count), (x, count))
