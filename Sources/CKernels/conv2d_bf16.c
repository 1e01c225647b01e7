// The forward pass and the input gradient with bfloat16 operands.
//
// A pair of channels is as large as a float, so these are the products of conv2d.c with half as many source channels,
// on microkernels that know pairs.
#include "conv2d_bf16.h"

#include <string.h>

#include "bfloat16.h"
#include "conv2d_product.h"
#include "cpu.h"
#include "microkernel_bf16.h"

enum { PAIRS_AT_ONCE = 128, TASK_PAIRS = 64 * 1024 };

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

bool rk_conv2d_bf16_supported(const rk_conv2d *shape) {
  return shape->in_channels % 2 == 0 && shape->out_channels % 2 == 0;
}

static rk_product product_of_pairs(const rk_conv2d *shape, bool gradient) {
  rk_product product = rk_product_of(shape, gradient);
  product.depth /= 2;
  product.depth_multiple = RK_BF16_GROUP;
  product.tile_rows = RK_BF16_ROWS;
  return product;
}

static size_t tap_count(const rk_product *p) { return p->height.kernel * p->width.kernel; }
// Pairs of a packed matrix, padding included.
static size_t padded_depth(const rk_product *p) { return divide_up(p->depth, RK_BF16_GROUP) * RK_BF16_GROUP; }

static size_t matrix_count(const rk_product *p) { return divide_up(p->columns, RK_PANEL) * tap_count(p); }

size_t rk_conv2d_bf16_packed_count(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  return matrix_count(&p) * padded_depth(&p) * RK_PANEL * 2;
}

size_t rk_conv2d_bf16_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  size_t tasks = matrix_count(&p) * padded_depth(&p) * RK_PANEL / TASK_PAIRS;
  return tasks < 1 ? 1 : minimum(tasks, matrix_count(&p));
}

// Columns are rows of the weight: rounds pieces of them and transposes pairs.
static void pack_forward(const float *weight, size_t stride, size_t columns, size_t pairs, float *out) {
  _Alignas(64) uint16_t rounded[RK_PANEL][2 * PAIRS_AT_ONCE];
  for (size_t first = 0; first < pairs; first += PAIRS_AT_ONCE) {
    size_t count = minimum(pairs - first, PAIRS_AT_ONCE);
    for (size_t c = 0; c < columns; c++) rk_float_to_bfloat16(weight + c * stride + 2 * first, 2 * count, rounded[c]);
    rk_microkernels_current()->transpose((const float *)rounded, PAIRS_AT_ONCE, columns, count, out + first * RK_PANEL);
  }
}

// Steps are rows of the weight: rounds two of them and interleaves.
static void pack_gradient(const float *weight, size_t stride, size_t columns, size_t pairs, uint16_t *out) {
  uint16_t rounded[2][RK_PANEL] = {{0}};
  for (size_t k = 0; k < pairs; k++, out += 2 * RK_PANEL) {
    rk_float_to_bfloat16(weight + 2 * k * stride, columns, rounded[0]);
    rk_float_to_bfloat16(weight + (2 * k + 1) * stride, columns, rounded[1]);
    for (size_t c = 0; c < RK_PANEL; c++) {
      out[2 * c] = rounded[0][c];
      out[2 * c + 1] = rounded[1][c];
    }
  }
}

void rk_conv2d_bf16_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, uint16_t *packed, size_t task) {
  rk_product p = product_of_pairs(shape, pack == RK_PACK_BACKWARD_INPUT);
  size_t matrices = matrix_count(&p), tasks = rk_conv2d_bf16_pack_tasks(shape, pack);
  size_t stride = shape->in_channels;
  for (size_t m = matrices * task / tasks; m < matrices * (task + 1) / tasks; m++) {
    size_t column = m / tap_count(&p) * RK_PANEL, columns = minimum(p.columns - column, RK_PANEL);
    const float *tap = weight + m % tap_count(&p) * shape->out_channels * stride;
    uint16_t *out = packed + m * padded_depth(&p) * RK_PANEL * 2;
    if (pack == RK_PACK_FORWARD) {
      pack_forward(tap + column * stride, stride, columns, p.depth, (float *)out);
    } else {
      pack_gradient(tap + column, stride, columns, p.depth, out);
    }
    size_t padding = padded_depth(&p) - p.depth;
    memset(out + p.depth * RK_PANEL * 2, 0, padding * RK_PANEL * 2 * sizeof(uint16_t));
  }
}

static void run(const rk_product *product, const uint16_t *source, const uint16_t *packed, const rk_epilogue *epilogue,
                bool accumulate, float *result, size_t task) {
  uint64_t state = rk_denormals_flush(true);
  rk_product_run(product, rk_bf16_by_rows_current(), (const float *)source, (const float *)packed, epilogue,
                 accumulate, result, task);
  rk_denormals_restore(state);
}

size_t rk_conv2d_bf16_forward_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, false);
  return rk_product_tasks(&product);
}

void rk_conv2d_bf16_forward(const rk_conv2d *shape, const uint16_t *input, const uint16_t *packed,
                            const rk_epilogue *epilogue, float *output, size_t task) {
  rk_product product = product_of_pairs(shape, false);
  run(&product, input, packed, epilogue, false, output, task);
}

size_t rk_conv2d_bf16_backward_input_tasks(const rk_conv2d *shape) {
  rk_product product = product_of_pairs(shape, true);
  return rk_product_tasks(&product);
}

void rk_conv2d_bf16_backward_input(const rk_conv2d *shape, const uint16_t *grad_output, const uint16_t *packed,
                                   bool accumulate, float *grad_input, size_t task) {
  rk_product product = product_of_pairs(shape, true);
  run(&product, grad_output, packed, NULL, accumulate, grad_input, task);
}
