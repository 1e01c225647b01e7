// Convolution by plain loops over every index: the readable reference that the fast paths are tested against. Sums are
// kept in double.
#include "conv2d.h"

// Elements of [H, W, N, I], [OH, OW, N, O] and [KH, KW, O, I].
static size_t input_index(const rk_conv2d *s, size_t h, size_t w, size_t n, size_t i) {
  return ((h * s->width + w) * s->batch + n) * s->in_channels + i;
}

static size_t output_index(const rk_conv2d *s, size_t oh, size_t ow, size_t n, size_t o) {
  return ((oh * s->out_width + ow) * s->batch + n) * s->out_channels + o;
}

static size_t weight_index(const rk_conv2d *s, size_t kh, size_t kw, size_t o, size_t i) {
  return ((kh * s->kernel_width + kw) * s->out_channels + o) * s->in_channels + i;
}

// Where tap k of the window at `out` reads the input; false on padding.
static bool input_position(size_t out, size_t k, size_t stride, size_t padding, size_t extent, size_t *position) {
  size_t padded = out * stride + k;
  *position = padded - padding;
  return padded >= padding && *position < extent;
}

// Which window reads the input at `position` with tap k; false if none does.
static bool output_position(size_t position, size_t k, size_t stride, size_t padding, size_t extent, size_t *out) {
  size_t padded = position + padding;
  *out = (padded - k) / stride;
  return padded >= k && (padded - k) % stride == 0 && *out < extent;
}

#define FOR(index, end) for (size_t index = 0; index < (end); index++)

void rk_conv2d_forward_loops(const rk_conv2d *s, const float *input, const float *weight, const float *bias,
                             float *output) {
  FOR(oh, s->out_height) FOR(ow, s->out_width) FOR(n, s->batch) FOR(o, s->out_channels) {
    double sum = bias ? bias[o] : 0;
    FOR(kh, s->kernel_height) FOR(kw, s->kernel_width) {
      size_t h, w;
      if (!input_position(oh, kh, s->stride_height, s->padding_height, s->height, &h)) continue;
      if (!input_position(ow, kw, s->stride_width, s->padding_width, s->width, &w)) continue;
      FOR(i, s->in_channels) {
        sum += (double)input[input_index(s, h, w, n, i)] * weight[weight_index(s, kh, kw, o, i)];
      }
    }
    output[output_index(s, oh, ow, n, o)] = (float)sum;
  }
}

void rk_conv2d_backward_input_loops(const rk_conv2d *s, const float *grad_output, const float *weight,
                                    float *grad_input) {
  FOR(h, s->height) FOR(w, s->width) FOR(n, s->batch) FOR(i, s->in_channels) {
    double sum = 0;
    FOR(kh, s->kernel_height) FOR(kw, s->kernel_width) {
      size_t oh, ow;
      if (!output_position(h, kh, s->stride_height, s->padding_height, s->out_height, &oh)) continue;
      if (!output_position(w, kw, s->stride_width, s->padding_width, s->out_width, &ow)) continue;
      FOR(o, s->out_channels) {
        sum += (double)grad_output[output_index(s, oh, ow, n, o)] * weight[weight_index(s, kh, kw, o, i)];
      }
    }
    grad_input[input_index(s, h, w, n, i)] = (float)sum;
  }
}

void rk_conv2d_backward_weight_loops(const rk_conv2d *s, const float *input, const float *grad_output,
                                     float *grad_weight) {
  FOR(kh, s->kernel_height) FOR(kw, s->kernel_width) FOR(o, s->out_channels) FOR(i, s->in_channels) {
    double sum = 0;
    FOR(oh, s->out_height) FOR(ow, s->out_width) {
      size_t h, w;
      if (!input_position(oh, kh, s->stride_height, s->padding_height, s->height, &h)) continue;
      if (!input_position(ow, kw, s->stride_width, s->padding_width, s->width, &w)) continue;
      FOR(n, s->batch) {
        sum += (double)grad_output[output_index(s, oh, ow, n, o)] * input[input_index(s, h, w, n, i)];
      }
    }
    grad_weight[weight_index(s, kh, kw, o, i)] = (float)sum;
  }
}
