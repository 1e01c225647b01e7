// Floats to bfloat16 in integer arithmetic, so that loops over them vectorise.
#ifndef RESIDUAL_BFLOAT16_ROUNDING_H
#define RESIDUAL_BFLOAT16_ROUNDING_H

#include <stdint.h>
#include <string.h>

#include "dispatch.h"

static inline __attribute__((always_inline)) uint16_t rk_rounded_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  // Just under half a unit carries what is above half; at half, the last kept bit carries odd values to even.
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  // A NaN's payload may be all in the lower half: the quiet bit keeps it a NaN.
  uint32_t quiet = (bits >> 16) | 0x40;
  return (uint16_t)(value != value ? quiet : rounded);
}

RK_LOOP void rk_round_to_bfloat16(const float *x, size_t count, uint16_t *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = rk_rounded_bfloat16(x[i]);
}

#endif
