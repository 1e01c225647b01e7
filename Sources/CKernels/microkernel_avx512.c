// AVX-512: 14 x 2 sums of 16 floats, two vectors of B, one or two of A: 32 registers.
#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define VECTOR __m512
#define LANES 16
#define ROWS 14
#define VECTORS 2
#define FOR_EACH_ROWS(visit)                                                                                         \
  visit(1) visit(2) visit(3) visit(4) visit(5) visit(6) visit(7) visit(8) visit(9) visit(10) visit(11) visit(12)     \
      visit(13) visit(14)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2)
#define ZERO() _mm512_setzero_ps()
#define LOAD(p) _mm512_loadu_ps(p)
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define MULTIPLY_ADD(a, b, sum) _mm512_fmadd_ps(a, b, sum)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MAXIMUM(a, b) _mm512_max_ps(a, b)
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define STORE_PART(p, n, x) _mm512_mask_storeu_ps(p, MASK(n), x)
#include "microkernel_template.h"

INLINE __m512 load_lanes(const float *x, size_t first, size_t columns) {
  if (columns >= first + LANES) return _mm512_loadu_ps(x + first);
  return columns <= first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(MASK(columns - first), x + first);
}

TARGET static void copy(const float *x, size_t stride, size_t columns, size_t depth, float *out) {
  for (size_t k = 0; k < depth; k++, x += stride, out += RK_PANEL) {
    _mm512_storeu_ps(out, load_lanes(x, 0, columns));
    _mm512_storeu_ps(out + LANES, load_lanes(x, LANES, columns));
  }
}

const rk_microkernels rk_microkernels_avx512 = {by_rows, by_columns, rk_transpose_portable, copy};
#endif
