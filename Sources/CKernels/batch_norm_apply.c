// Batch normalisation's writing pass: normalise, add, max(0, ·).
#include "arithmetic.h"
#include "batch_norm.h"
#include "bfloat16_rounding.h"
#include "dispatch.h"
#include "relu_mask.h"

RK_LOOP void apply_row(const float *x, size_t channels, const float *mean, const float *scale, const float *shift,
                       const float *residual, bool adds_residual, float *y, uint8_t *mask, bool relu) {
  size_t c = 0;
  for (; c + LANES <= channels; c += LANES) {
    floats value = (*(const floats *)(x + c) - *(const floats *)(mean + c)) * *(const floats *)(scale + c) +
                   *(const floats *)(shift + c);
    if (adds_residual) value += *(const floats *)(residual + c);
    if (relu) {
      ints passing = ~(value <= 0);
      flags passes = __builtin_convertvector(passing, flags);
      value = (floats)((ints)value & passing);
      STORE_MASK(mask, c, passes);
    }
    *(floats *)(y + c) = value;
  }
  for (; c < channels; c++) {
    float value = (x[c] - mean[c]) * scale[c] + shift[c];
    if (adds_residual) value += residual[c];
    if (relu) {
      bool passes = !(value <= 0);
      rk_store_mask_bit(mask, c, passes);
      value = passes ? value : 0;
    }
    y[c] = value;
  }
}

RK_LOOP void apply_rows(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                        const float *shift, const float *residual, bool adds_residual, float *y, uint8_t *mask,
                        bool relu, uint16_t *copy) {
  for (size_t row = 0; row < rows; row++) {
    size_t offset = row * channels;
    apply_row(x + offset, channels, mean, scale, shift, from_offset(residual, offset), adds_residual, y + offset,
              relu ? mask + row * rk_relu_mask_bytes(channels) : NULL, relu);
    if (copy) rk_round_to_bfloat16(y + offset, channels, copy + offset);
  }
}

// The options are spelt out as constants, so that no loop tests them.
RK_LOOP void apply(const float *x, size_t rows, size_t channels, const float *mean, const float *scale,
                   const float *shift, const float *residual, float *y, uint8_t *mask, uint16_t *y_bfloat16) {
  if (residual && mask) {
    apply_rows(x, rows, channels, mean, scale, shift, residual, true, y, mask, true, y_bfloat16);
  } else if (residual) {
    apply_rows(x, rows, channels, mean, scale, shift, residual, true, y, NULL, false, y_bfloat16);
  } else if (mask) {
    apply_rows(x, rows, channels, mean, scale, shift, NULL, false, y, mask, true, y_bfloat16);
  } else {
    apply_rows(x, rows, channels, mean, scale, shift, NULL, false, y, NULL, false, y_bfloat16);
  }
}

RK_DISPATCH(void, rk_batch_norm_apply, apply,
            (const float *x, size_t rows, size_t channels, const float *mean, const float *scale, const float *shift,
             const float *residual, float *y, uint8_t *mask, uint16_t *y_bfloat16),
            (x, rows, channels, mean, scale, shift, residual, y, mask, y_bfloat16))
