// The forward pass and the input gradient with bfloat16 operands.
//
// A pair of channels is as large as a float, so these are the products of conv2d.c with half as many source channels,
// on microkernels that know pairs.
#include "conv2d_bf16.h"

#include <string.h>

#include "arithmetic.h"
#include "bfloat16.h"
#include "conv2d_choices.h"
#include "conv2d_pack.h"
#include "conv2d_product.h"
#include "cpu.h"
#include "fetch.h"
#include "microkernel_bf16.h"

enum { PAIRS_AT_ONCE = 128 };

bool rk_conv2d_bf16_supported(const rk_conv2d *shape) {
  return shape->in_channels % 2 == 0 && shape->out_channels % 2 == 0;
}

// On its way to the cache: what is rounded AHEAD columns after `column` of the pieces from `piece` on. After the last
// column that is the first one of the pieces `next` floats on.
static void fetch_piece(const float *piece, size_t stride, size_t column, size_t columns, size_t count, size_t next) {
  enum { AHEAD = 6 };
  size_t ahead = column + AHEAD;
  rk_fetch(piece + (ahead < columns ? ahead * stride : next + (ahead - columns) * stride), count);
}

// Columns are rows of the weight: rounds pieces of them and transposes pairs.
static void pack_forward(const float *weight, size_t stride, size_t columns, size_t pairs, float *out) {
  _Alignas(64) uint16_t rounded[RK_PANEL][2 * PAIRS_AT_ONCE];
  for (size_t first = 0; first < pairs; first += PAIRS_AT_ONCE) {
    size_t count = minimum(pairs - first, PAIRS_AT_ONCE);
    size_t next = first + count < pairs ? 2 * count : columns * stride;
    for (size_t c = 0; c < columns; c++) {
      fetch_piece(weight + 2 * first, stride, c, columns, 2 * count, next);
      rk_float_to_bfloat16(weight + c * stride + 2 * first, 2 * count, rounded[c]);
    }
    rk_microkernels_current()->transpose((const float *)rounded, PAIRS_AT_ONCE, columns, count, out + first * RK_PANEL);
  }
}

// Channels and depth count pairs. In the gradient, steps are rows of the weight: two of them are interleaved.
static void pack_pairs(const rk_product *p, const float *weight, size_t panel, size_t panels, size_t tap,
                       size_t channel, size_t depth, float *out, size_t panel_stride) {
  size_t pairs = minimum(channel + depth, p->depth) - channel, together = p->panels_together;
  const float *matrix = weight + tap * p->columns * 2 * p->depth;
  for (size_t n = 0; n < panels; n += together) {
    size_t column = (panel + n) * RK_PANEL, here = minimum(panels - n, together);
    size_t columns = minimum(p->columns - column, here * RK_PANEL);
    float *first = out + n * panel_stride;
    if (p->height.gradient) {
      rk_float_row_pairs_to_bfloat16(matrix + 2 * channel * p->columns + column, p->columns, columns, pairs,
                                     (uint32_t *)first, panel_stride);
    } else {
      pack_forward(matrix + column * 2 * p->depth + 2 * channel, 2 * p->depth, columns, pairs, first);
    }
    for (size_t k = 0; k < here; k++) {
      memset(first + k * panel_stride + pairs * RK_PANEL, 0, (depth - pairs) * RK_PANEL * sizeof(float));
    }
  }
}

static rk_product product_of_pairs(const rk_conv2d *shape, bool gradient) {
  const rk_bf16_microkernels *kernels = rk_bf16_microkernels_current();
  rk_product product = rk_product_of(shape, gradient);
  product.depth /= 2;
  product.depth_multiple = kernels->depth_multiple;
  product.tile_rows = kernels->tile_rows;
  product.tile_panels = kernels->tile_panels;
  product.part_rows = kernels->part_rows;
  product.pack = pack_pairs;
  product.panels_together = gradient ? 2 : 1;
  product.round_rows = kernels->round_rows;
  return product;
}

size_t rk_conv2d_bf16_packed_count(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  return rk_packed_floats(&p) * 2;
}

size_t rk_conv2d_bf16_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  return rk_pack_tasks(&p);
}

void rk_conv2d_bf16_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, uint16_t *packed, size_t task) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  rk_pack_weight(&p, weight, (float *)packed, task);
}

static void run(const rk_product *product, const uint16_t *source, const uint16_t *packed, const rk_epilogue *epilogue,
                bool accumulate, float *result, uint16_t *rounded, size_t task) {
  uint64_t state = rk_denormals_flush(true);
  rk_product_run(product, rk_bf16_microkernels_current()->by_rows, (const float *)source, (const float *)packed,
                 epilogue, accumulate, result, rounded, task);
  rk_bf16_end();
  rk_denormals_restore(state);
}

static void run_direct(const rk_product *product, const uint16_t *source, const float *weight,
                       const rk_epilogue *epilogue, bool accumulate, float *result, size_t task) {
  uint64_t state = rk_denormals_flush(true);
  rk_product_run_direct(product, rk_bf16_microkernels_current()->by_rows, (const float *)source, weight, epilogue,
                        accumulate, result, task);
  rk_bf16_end();
  rk_denormals_restore(state);
}

size_t rk_conv2d_bf16_forward_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, false);
  return rk_product_tasks(&product);
}

void rk_conv2d_bf16_forward(const rk_conv2d *shape, const uint16_t *input, const uint16_t *packed,
                            const rk_epilogue *epilogue, float *output, uint16_t *rounded, size_t task) {
  rk_product product = product_of_pairs(shape, false);
  run(&product, input, packed, epilogue, false, output, rounded, task);
}

size_t rk_conv2d_bf16_backward_input_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, true);
  return rk_product_tasks(&product);
}

void rk_conv2d_bf16_backward_input(const rk_conv2d *shape, const uint16_t *grad_output, const uint16_t *packed,
                                   bool accumulate, float *grad_input, size_t task) {
  rk_product product = product_of_pairs(shape, true);
  run(&product, grad_output, packed, NULL, accumulate, grad_input, NULL, task);
}

static bool prefers_direct(const rk_conv2d *s, bool gradient) {
  enum { MOST_ROWS = 1024, FEWEST_WEIGHTS = 1 << 16 };
  if (!rk_direct_pays(s, MOST_ROWS, FEWEST_WEIGHTS)) return false;
  rk_product product = product_of_pairs(s, gradient);
  return rk_product_direct_packs_once(&product);
}

bool rk_conv2d_bf16_forward_prefers_direct(const rk_conv2d *shape) { return prefers_direct(shape, false); }

bool rk_conv2d_bf16_backward_input_prefers_direct(const rk_conv2d *shape) { return prefers_direct(shape, true); }

size_t rk_conv2d_bf16_forward_direct_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, false);
  return rk_product_direct_tasks(&product);
}

void rk_conv2d_bf16_forward_direct(const rk_conv2d *shape, const uint16_t *input, const float *weight,
                                   const rk_epilogue *epilogue, float *output, size_t task) {
  rk_product product = product_of_pairs(shape, false);
  run_direct(&product, input, weight, epilogue, false, output, task);
}

size_t rk_conv2d_bf16_backward_input_direct_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, true);
  return rk_product_direct_tasks(&product);
}

void rk_conv2d_bf16_backward_input_direct(const rk_conv2d *shape, const uint16_t *grad_output, const float *weight,
                                          bool accumulate, float *grad_input, size_t task) {
  rk_product product = product_of_pairs(shape, true);
  run_direct(&product, grad_output, weight, NULL, accumulate, grad_input, task);
}
