// bfloat16 with AVX2 and FMA: both halves of a pair become floats.
// 3 x 2 sums of 8 floats leave registers for the halves of B and A.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "microkernel_bf16.h"

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define LANES 8
#define ROWS 3
#define VECTORS 2
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2)
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define BROADCAST(p) broadcast_pair(p)
#define MULTIPLY_ADD(a, b, sum) add_pairs(a, b, sum)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define MASK(n) _mm256_loadu_si256((const __m256i *)(lane_masks + LANES - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, MASK(n))
#define STORE_PART(p, n, x) _mm256_maskstore_ps(p, MASK(n), x)

// Eight words from `LANES - n` on have their first n set.
static const int32_t lane_masks[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

TARGET static inline __m256 broadcast_pair(const float *p) {
  int pair;
  memcpy(&pair, p, sizeof pair);
  return _mm256_castsi256_ps(_mm256_set1_epi32(pair));
}

TARGET static inline __m256 second(__m256 pairs) {
  return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}

TARGET static inline __m256 first(__m256 pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}

TARGET static inline __m256 add_pairs(__m256 a, __m256 b, __m256 sum) {
  return _mm256_fmadd_ps(first(a), first(b), _mm256_fmadd_ps(second(a), second(b), sum));
}

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_bf16_avx2 = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
