// Batch normalisation's backward pass: a reducing and a writing pass over the gradient and the input.
#include "arithmetic.h"
#include "batch_norm.h"
#include "bfloat16_rounding.h"
#include "dispatch.h"
#include "relu_mask.h"

/// Channels whose sums are held in double at a time, and rows that are added to them at once.
enum { tile = 512, group = 8 };

/// Defines the function `name`, which works on `lanes` columns at a time: it adds `added` rows (a constant: `group` or 1)
/// from `grad_y`, `mask` and `x` on to the running sums of g and g * (x - mean). These cancel, so they are multiplied and
/// added in double.
#define DEFINE_ADD_GRADIENTS(name, lanes)                                                                              \
  typedef float name##_floats __attribute__((vector_size(lanes * 4), aligned(4), may_alias));                          \
  typedef int32_t name##_bits __attribute__((vector_size(lanes * 4), aligned(4)));                                     \
  typedef double name##_doubles __attribute__((vector_size(lanes * 8), aligned(8), may_alias));                        \
  typedef bool name##_flags __attribute__((ext_vector_type(lanes)));                                                   \
  RK_LOOP void name(const float *grad_y, const uint8_t *mask, bool masked, const float *x, size_t added,               \
                    size_t channels, size_t width, const float *mean, double *sum_g, double *sum_gx) {                 \
    size_t c = 0, mask_bytes = rk_relu_mask_bytes(channels);                                                           \
    for (; c + lanes <= width; c += lanes) {                                                                           \
      name##_doubles total_g = *(name##_doubles *)(sum_g + c), total_gx = *(name##_doubles *)(sum_gx + c);             \
      name##_doubles center = __builtin_convertvector(*(const name##_floats *)(mean + c), name##_doubles);             \
      for (size_t k = 0; k < added; k++) {                                                                             \
        size_t i = k * channels + c;                                                                                   \
        name##_floats g = *(const name##_floats *)(grad_y + i), value = *(const name##_floats *)(x + i);               \
        if (masked) {                                                                                                  \
          name##_flags passes;                                                                                         \
          LOAD_MASK(mask + k * mask_bytes, c, passes);                                                                 \
          g = (name##_floats)((name##_bits)g & -__builtin_convertvector(passes, name##_bits));                         \
        }                                                                                                              \
        total_g += __builtin_convertvector(g, name##_doubles);                                                         \
        total_gx += __builtin_convertvector(g, name##_doubles) *                                                       \
                    (__builtin_convertvector(value, name##_doubles) - center);                                         \
      }                                                                                                                \
      *(name##_doubles *)(sum_g + c) = total_g;                                                                        \
      *(name##_doubles *)(sum_gx + c) = total_gx;                                                                      \
    }                                                                                                                  \
    for (; c < width; c++) {                                                                                           \
      for (size_t k = 0; k < added; k++) {                                                                             \
        size_t i = k * channels + c;                                                                                   \
        double g = masked && !rk_mask_bit(mask + k * mask_bytes, c) ? 0 : grad_y[i];                                   \
        sum_g[c] += g;                                                                                                 \
        sum_gx[c] += g * ((double)x[i] - mean[c]);                                                                     \
      }                                                                                                                \
    }                                                                                                                  \
  }
DEFINE_ADD_GRADIENTS(add_gradients, 8)
/// Reads whole cache lines at once, for lines of rows 4 KiB apart drive each other from the cache. Takes many registers.
DEFINE_ADD_GRADIENTS(add_lines_of_gradients, 16)

RK_LOOP void reduce_rows(const float *grad_y, const uint8_t *mask, bool masked, const float *x, size_t rows,
                         size_t channels, const float *mean, const float *inverse_deviation, float *sum_g,
                         float *sum_g_xhat) {
  bool has_wide_registers = rk_isa_current() == RK_ISA_AVX512 || rk_isa_current() == RK_ISA_AMX;
  for (size_t begin = 0; begin < channels; begin += tile) {
    size_t width = minimum(tile, channels - begin);
    double total_g[tile] = {0}, total_gx[tile] = {0};
    for (size_t row = 0, added; row < rows; row += added) {
      const float *g = grad_y + row * channels + begin, *value = x + row * channels + begin;
      const uint8_t *bits = masked ? mask + row * rk_relu_mask_bytes(channels) + begin / 8 : NULL;
      added = rows - row < group ? 1 : group;
      if (added == 1) {
        add_gradients(g, bits, masked, value, 1, channels, width, mean + begin, total_g, total_gx);
      } else if (has_wide_registers) {
        add_lines_of_gradients(g, bits, masked, value, group, channels, width, mean + begin, total_g, total_gx);
      } else {
        add_gradients(g, bits, masked, value, group, channels, width, mean + begin, total_g, total_gx);
      }
    }
    for (size_t c = 0; c < width; c++) {
      sum_g[begin + c] = (float)total_g[c];
      sum_g_xhat[begin + c] = (float)(total_gx[c] * inverse_deviation[begin + c]);
    }
  }
}

RK_LOOP void reduce(const float *grad_y, const uint8_t *mask, const float *x, size_t rows, size_t channels,
                    const float *mean, const float *inverse_deviation, float *sum_g, float *sum_g_xhat) {
  if (mask) {
    reduce_rows(grad_y, mask, true, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat);
  } else {
    reduce_rows(grad_y, NULL, false, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat);
  }
}

/// What becomes of g, the gradient behind the ReLU, besides its part in grad_x.
typedef enum { drop, store, accumulate } residual_use;

RK_LOOP void apply_row(const float *grad_y, const uint8_t *mask, bool masked, const float *x, size_t channels,
                       const float *mean, const float *a, const float *b, const float *d, float *grad_x,
                       float *grad_residual, residual_use use) {
  size_t c = 0;
  for (; c + LANES <= channels; c += LANES) {
    floats g = *(const floats *)(grad_y + c);
    if (masked) {
      flags passes;
      LOAD_MASK(mask, c, passes);
      g = (floats)((ints)g & -__builtin_convertvector(passes, ints));
    }
    if (use != drop) *(floats *)(grad_residual + c) = use == accumulate ? *(floats *)(grad_residual + c) + g : g;
    floats value = g * *(const floats *)(a + c) +
                   ((*(const floats *)(x + c) - *(const floats *)(mean + c)) * *(const floats *)(b + c) +
                    *(const floats *)(d + c));
    *(floats *)(grad_x + c) = value;
  }
  for (; c < channels; c++) {
    float g = masked && !rk_mask_bit(mask, c) ? 0 : grad_y[c];
    if (use != drop) grad_residual[c] = use == accumulate ? grad_residual[c] + g : g;
    grad_x[c] = g * a[c] + ((x[c] - mean[c]) * b[c] + d[c]);
  }
}

RK_LOOP void apply_rows(const float *grad_y, const uint8_t *mask, bool masked, const float *x, size_t rows,
                        size_t channels, const float *mean, const float *a, const float *b, const float *d,
                        float *grad_x, uint16_t *copy, float *grad_residual, residual_use use) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    apply_row(grad_y + offset, masked ? mask + row * rk_relu_mask_bytes(channels) : NULL, masked, x + offset, channels,
              mean, a, b, d, grad_x + offset, use == drop ? NULL : grad_residual + offset, use);
    if (copy) rk_round_to_bfloat16(grad_x + offset, channels, copy + offset);
  }
}

// The options are spelt out as constants, so that no loop tests them.
RK_LOOP void apply_residual(const float *grad_y, const uint8_t *mask, bool masked, const float *x, size_t rows,
                            size_t channels, const float *mean, const float *a, const float *b, const float *d,
                            float *grad_x, uint16_t *copy, float *grad_residual, bool accumulates) {
  if (!grad_residual) {
    apply_rows(grad_y, mask, masked, x, rows, channels, mean, a, b, d, grad_x, copy, NULL, drop);
  } else if (accumulates) {
    apply_rows(grad_y, mask, masked, x, rows, channels, mean, a, b, d, grad_x, copy, grad_residual, accumulate);
  } else {
    apply_rows(grad_y, mask, masked, x, rows, channels, mean, a, b, d, grad_x, copy, grad_residual, store);
  }
}

RK_LOOP void apply(const float *grad_y, const uint8_t *mask, const float *x, size_t rows, size_t channels,
                   const float *mean, const float *a, const float *b, const float *d, float *grad_x,
                   uint16_t *grad_x_bfloat16, float *grad_residual, bool accumulates) {
  if (mask) {
    apply_residual(grad_y, mask, true, x, rows, channels, mean, a, b, d, grad_x, grad_x_bfloat16, grad_residual,
                   accumulates);
  } else {
    apply_residual(grad_y, NULL, false, x, rows, channels, mean, a, b, d, grad_x, grad_x_bfloat16, grad_residual,
                   accumulates);
  }
}

RK_DISPATCH(void, rk_batch_norm_backward_reduce, reduce,
            (const float *grad_y, const uint8_t *mask, const float *x, size_t rows, size_t channels, const float *mean,
             const float *inverse_deviation, float *sum_g, float *sum_g_xhat),
            (grad_y, mask, x, rows, channels, mean, inverse_deviation, sum_g, sum_g_xhat))
RK_DISPATCH(void, rk_batch_norm_backward_apply, apply,
            (const float *grad_y, const uint8_t *mask, const float *x, size_t rows, size_t channels, const float *mean,
             const float *a, const float *b, const float *d, float *grad_x, uint16_t *grad_x_bfloat16,
             float *grad_residual, bool accumulates),
            (grad_y, mask, x, rows, channels, mean, a, b, d, grad_x, grad_x_bfloat16, grad_residual, accumulates))
