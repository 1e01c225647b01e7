// Convolution, one task at a time.
#include "conv2d.h"

#include <string.h>

static size_t weight_count(const rk_conv2d *s) {
  return s->out_channels * s->kernel_height * s->kernel_width * s->in_channels;
}

size_t rk_conv2d_packed_count(const rk_conv2d *shape, rk_pack pack) {
  (void)pack;
  return weight_count(shape);
}

size_t rk_conv2d_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  (void)shape, (void)pack;
  return 1;
}

void rk_conv2d_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, float *packed, size_t task) {
  (void)pack, (void)task;
  memcpy(packed, weight, weight_count(shape) * sizeof(float));
}

size_t rk_conv2d_forward_tasks(const rk_conv2d *shape) { return shape->out_height; }

void rk_conv2d_forward(const rk_conv2d *s, const float *input, const float *packed, const rk_epilogue *epilogue,
                       float *output, size_t oh) {
  for (size_t ow = 0; ow < s->out_width; ow++)
    for (size_t n = 0; n < s->batch; n++)
      for (size_t o = 0; o < s->out_channels; o++) {
        size_t out = ((oh * s->out_width + ow) * s->batch + n) * s->out_channels + o;
        float sum = 0;
        for (size_t kh = 0; kh < s->kernel_height; kh++)
          for (size_t kw = 0; kw < s->kernel_width; kw++) {
            size_t h = oh * s->stride_height + kh - s->padding_height;
            size_t w = ow * s->stride_width + kw - s->padding_width;
            if (h >= s->height || w >= s->width) continue;
            const float *x = input + ((h * s->width + w) * s->batch + n) * s->in_channels;
            const float *k = packed + ((o * s->kernel_height + kh) * s->kernel_width + kw) * s->in_channels;
            for (size_t i = 0; i < s->in_channels; i++) sum += x[i] * k[i];
          }
        if (epilogue != NULL && epilogue->bias != NULL) sum += epilogue->bias[o];
        if (epilogue != NULL && epilogue->residual != NULL) sum += epilogue->residual[out];
        if (epilogue != NULL && epilogue->relu && sum < 0) sum = 0;
        output[out] = sum;
      }
}

size_t rk_conv2d_backward_input_tasks(const rk_conv2d *shape) { return shape->height; }

void rk_conv2d_backward_input(const rk_conv2d *s, const float *grad_output, const float *packed, bool accumulate,
                              float *grad_input, size_t h) {
  size_t row = s->width * s->batch * s->in_channels;
  if (!accumulate) memset(grad_input + h * row, 0, row * sizeof(float));
  for (size_t kh = 0; kh < s->kernel_height; kh++)
    for (size_t kw = 0; kw < s->kernel_width; kw++)
      for (size_t ow = 0; ow < s->out_width; ow++) {
        size_t start = h + s->padding_height - kh, oh = start / s->stride_height;
        size_t w = ow * s->stride_width + kw - s->padding_width;
        if (h + s->padding_height < kh || start % s->stride_height != 0 || oh >= s->out_height || w >= s->width) continue;
        for (size_t n = 0; n < s->batch; n++)
          for (size_t o = 0; o < s->out_channels; o++) {
            float g = grad_output[((oh * s->out_width + ow) * s->batch + n) * s->out_channels + o];
            const float *k = packed + ((o * s->kernel_height + kh) * s->kernel_width + kw) * s->in_channels;
            float *x = grad_input + ((h * s->width + w) * s->batch + n) * s->in_channels;
            for (size_t i = 0; i < s->in_channels; i++) x[i] += g * k[i];
          }
      }
}

size_t rk_conv2d_backward_weight_tasks(const rk_conv2d *shape) { return shape->kernel_height * shape->kernel_width; }

void rk_conv2d_backward_weight(const rk_conv2d *s, const float *input, const float *grad_output, bool accumulate,
                               float *grad_weight, size_t tap) {
  size_t taps = s->kernel_height * s->kernel_width, kh = tap / s->kernel_width, kw = tap % s->kernel_width;
  for (size_t o = 0; o < s->out_channels && !accumulate; o++) {
    memset(grad_weight + (o * taps + tap) * s->in_channels, 0, s->in_channels * sizeof(float));
  }
  for (size_t oh = 0; oh < s->out_height; oh++)
    for (size_t ow = 0; ow < s->out_width; ow++) {
      size_t h = oh * s->stride_height + kh - s->padding_height;
      size_t w = ow * s->stride_width + kw - s->padding_width;
      if (h >= s->height || w >= s->width) continue;
      for (size_t n = 0; n < s->batch; n++) {
        const float *g = grad_output + ((oh * s->out_width + ow) * s->batch + n) * s->out_channels;
        const float *x = input + ((h * s->width + w) * s->batch + n) * s->in_channels;
        for (size_t o = 0; o < s->out_channels; o++) {
          float *sum = grad_weight + (o * taps + tap) * s->in_channels;
          for (size_t i = 0; i < s->in_channels; i++) sum[i] += g[o] * x[i];
        }
      }
    }
}
