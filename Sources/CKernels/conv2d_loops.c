// Convolution by plain loops over every index: the readable reference that the fast paths are tested against.
#include "conv2d.h"

#include <string.h>

// Where a window starts in the input, and whether its tap `k` lies inside.
static bool tap_position(size_t out, size_t stride, size_t k, size_t padding, size_t extent, size_t *position) {
  size_t padded = out * stride + k;
  *position = padded - padding;
  return padded >= padding && *position < extent;
}

// Calls `visit` for every product of the convolution: output element o, input element x, weight element w.
#define FOR_EACH_PRODUCT(s, visit)                                                                                   \
  for (size_t oh = 0; oh < (s)->out_height; oh++)                                                                    \
    for (size_t ow = 0; ow < (s)->out_width; ow++)                                                                   \
      for (size_t kh = 0; kh < (s)->kernel_height; kh++)                                                             \
        for (size_t kw = 0; kw < (s)->kernel_width; kw++) {                                                          \
          size_t h, w;                                                                                               \
          if (!tap_position(oh, (s)->stride_height, kh, (s)->padding_height, (s)->height, &h)) continue;             \
          if (!tap_position(ow, (s)->stride_width, kw, (s)->padding_width, (s)->width, &w)) continue;                \
          for (size_t n = 0; n < (s)->batch; n++)                                                                    \
            for (size_t o = 0; o < (s)->out_channels; o++)                                                           \
              for (size_t i = 0; i < (s)->in_channels; i++) {                                                        \
                size_t out = ((oh * (s)->out_width + ow) * (s)->batch + n) * (s)->out_channels + o;                  \
                size_t in = ((h * (s)->width + w) * (s)->batch + n) * (s)->in_channels + i;                          \
                size_t tap = ((kh * (s)->kernel_width + kw) * (s)->out_channels + o) * (s)->in_channels + i;         \
                visit;                                                                                               \
              }                                                                                                      \
        }

void rk_conv2d_forward_loops(const rk_conv2d *shape, const float *input, const float *weight, const float *bias,
                             float *output) {
  size_t rows = shape->out_height * shape->out_width * shape->batch;
  for (size_t row = 0; row < rows; row++) {
    for (size_t o = 0; o < shape->out_channels; o++) {
      output[row * shape->out_channels + o] = bias != NULL ? bias[o] : 0;
    }
  }
  FOR_EACH_PRODUCT(shape, output[out] += input[in] * weight[tap])
}

void rk_conv2d_backward_input_loops(const rk_conv2d *shape, const float *grad_output, const float *weight,
                                    float *grad_input) {
  memset(grad_input, 0, shape->height * shape->width * shape->batch * shape->in_channels * sizeof(float));
  FOR_EACH_PRODUCT(shape, grad_input[in] += grad_output[out] * weight[tap])
}

void rk_conv2d_backward_weight_loops(const rk_conv2d *shape, const float *input, const float *grad_output,
                                     float *grad_weight) {
  size_t taps = shape->kernel_height * shape->kernel_width;
  memset(grad_weight, 0, shape->out_channels * taps * shape->in_channels * sizeof(float));
  FOR_EACH_PRODUCT(shape, grad_weight[tap] += grad_output[out] * input[in])
}
