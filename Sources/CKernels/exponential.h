// exp of a float in plain arithmetic, so that loops over it vectorise; within 1 ulp of the true value.
#ifndef RESIDUAL_EXPONENTIAL_H
#define RESIDUAL_EXPONENTIAL_H

#include <stdint.h>
#include <string.h>

static inline __attribute__((always_inline)) float rk_float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// exp(x) = 2^n * exp(r), n the integer nearest to x / ln 2 and |r| <= ln 2 / 2. Overflow gives infinity, underflow
/// denormals and then 0, NaN stays NaN.
static inline __attribute__((always_inline)) float rk_exponential(float x) {
  x = x > 89 ? 89 : x;
  x = x < -104 ? -104 : x;

  // Adding 1.5 * 2^23 leaves n in the low bits of the sum.
  const float magic = 0x1.8p23f;
  float shifted = x * 0x1.715476p+0f + magic;
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  int32_t n = (int32_t)(bits - 0x4b400000u);
  float whole = shifted - magic;

  // ln 2 in two parts; the first has 15 bits, so its product with n is exact.
  float r = (x - whole * 0x1.62e4p-1f) - whole * 0x1.7f7d1cp-20f;

  // Minimax fit of (exp(r) - 1 - r) / r^2: within 0.06 ulp of exp(r).
  float q = 0.0013814541f;
  q = q * r + 0.0083687454f;
  q = q * r + 0.041668389f;
  q = q * r + 0.16666521f;
  q = q * r + 0.49999994f;
  float mantissa = 1 + (r + r * r * q);

  // 2^n may be no normal number where exp(x) is one, so it is applied in two halves.
  int32_t half = n >> 1;
  float low = rk_float_from_bits((uint32_t)(half + 127) << 23);
  float high = rk_float_from_bits((uint32_t)(n - half + 127) << 23);
  return mantissa * low * high;
}

#endif
