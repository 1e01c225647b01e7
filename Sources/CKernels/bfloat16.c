#include "bfloat16.h"

#include "bfloat16_rounding.h"
#include "dispatch.h"

RK_LOOP void to_bfloat16(const float *x, size_t count, uint16_t *out) {
  RK_INDEPENDENT
  for (size_t i = 0; i < count; i++) out[i] = rk_rounded_bfloat16(x[i]);
}

RK_DISPATCH(void, rk_float_to_bfloat16, to_bfloat16, (const float *x, size_t count, uint16_t *out), (x, count, out))
