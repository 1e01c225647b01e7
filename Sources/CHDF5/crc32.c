// CRC-32 by folding: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction",
// Intel, 2009; the constants are those of its table for the reflected polynomial.

#include "crc32.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("pclmul,sse4.1")))

// `x` moved on by the distance that `constants` stand for, plus the bytes there.
TARGET static inline __m128i fold(__m128i x, __m128i constants, __m128i bytes) {
  __m128i low = _mm_clmulepi64_si128(x, constants, 0x00);
  __m128i high = _mm_clmulepi64_si128(x, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), bytes);
}

TARGET static inline __m128i load(const char *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

TARGET static size_t fold_all(uint32_t *crc, const char *bytes, size_t count) {
  if (count < 64) return 0;
  const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i reduction = _mm_set_epi64x(0x01f7011641, 0x01db710641);  // mu and the polynomial
  const __m128i low32 = _mm_set_epi32(0, 0, 0, -1), mask32 = _mm_set_epi32(0, -1, 0, -1);
  __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128((int)~*crc));
  __m128i b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48);
  size_t done = 64;
  for (; count - done >= 64; done += 64) {
    a = fold(a, by64, load(bytes + done));
    b = fold(b, by64, load(bytes + done + 16));
    c = fold(c, by64, load(bytes + done + 32));
    d = fold(d, by64, load(bytes + done + 48));
  }
  a = fold(fold(fold(a, by16, b), by16, c), by16, d);
  for (; count - done >= 16; done += 16) a = fold(a, by16, load(bytes + done));
  // 128 bits to 64, then to 32 by Barrett's reduction.
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by16, 0x10));
  const __m128i by4 = _mm_set_epi64x(0, 0x0163cd6124);
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, mask32), by4, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, low32), reduction, 0x10);
  a = _mm_xor_si128(a, _mm_clmulepi64_si128(_mm_and_si128(quotient, low32), reduction, 0x00));
  *crc = ~(uint32_t)_mm_extract_epi32(a, 1);
  return done;
}

size_t residual_crc32_fold(uint32_t *crc, const void *bytes, size_t count) {
  return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1") ? fold_all(crc, bytes, count) : 0;
}

#else

size_t residual_crc32_fold(uint32_t *crc, const void *bytes, size_t count) {
  (void)crc, (void)bytes, (void)count;
  return 0;
}

#endif
