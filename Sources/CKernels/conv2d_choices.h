// What a convolution's sizes amount to, and choices by them that float and bfloat16 make alike.
#ifndef RESIDUAL_CONV2D_CHOICES_H
#define RESIDUAL_CONV2D_CHOICES_H

#include "conv2d.h"

static inline size_t rk_output_rows(const rk_conv2d *s) { return s->out_height * s->out_width * s->batch; }

static inline size_t rk_tap_count(const rk_conv2d *s) { return s->kernel_height * s->kernel_width; }

static inline size_t rk_weight_count(const rk_conv2d *s) { return s->out_channels * rk_tap_count(s) * s->in_channels; }

/// Whether output row r is made of input row r alone.
static inline bool rk_meets_rows_in_order(const rk_conv2d *s) {
  return rk_tap_count(s) == 1 && s->stride_height == 1 && s->stride_width == 1 && s->padding_height == 0 &&
         s->padding_width == 0;
}

/// Whether tasks that pack the weight for themselves are the faster way to use it once: it is large beside the rows.
static inline bool rk_direct_pays(const rk_conv2d *s, size_t most_rows, size_t fewest_weights) {
  return rk_output_rows(s) <= most_rows && rk_weight_count(s) >= fewest_weights;
}

#endif
