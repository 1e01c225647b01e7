// AVX-512 with BF16: the tile of microkernel_avx512.c, two products a lane and step.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "microkernel_bf16.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
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
#define BROADCAST(p) broadcast_pair(p)
#define MULTIPLY_ADD(a, b, sum) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(b))
#define ADD(a, b) _mm512_add_ps(a, b)
#define MAXIMUM(a, b) _mm512_max_ps(a, b)
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define STORE_PART(p, n, x) _mm512_mask_storeu_ps(p, MASK(n), x)

TARGET static inline __m512 broadcast_pair(const float *p) {
  int pair;
  memcpy(&pair, p, sizeof pair);
  return _mm512_castsi512_ps(_mm512_set1_epi32(pair));
}

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_bf16_avx512 = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
