// bfloat16 with AVX2 and FMA: both halves of a pair become floats.
// 5 x 1 sums of 8 floats, twice, leave registers for the halves of B and A.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "microkernel_bf16.h"

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define LANES 8
#define ROWS 5
#define VECTORS 1
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4) visit(5)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1)
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define BROADCAST(p) broadcast_pair(p)
#define MULTIPLY_ADD(a, b, sum) _mm256_fmadd_ps(a, b, sum)
#define FIRST(x) first_of(x)
#define SECOND(x) second_of(x)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define MASK(n) _mm256_loadu_si256((const __m256i *)(lane_masks + LANES - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, MASK(n))
#define STORE_PART(p, n, x) _mm256_maskstore_ps(p, MASK(n), x)
#define STREAM(p, x) _mm256_stream_ps(p, x)

// Eight words from `LANES - n` on have their first n set.
static const int32_t lane_masks[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

TARGET static inline __m256 broadcast_pair(const float *p) {
  int pair;
  memcpy(&pair, p, sizeof pair);
  return _mm256_castsi256_ps(_mm256_set1_epi32(pair));
}

TARGET static inline __m256 second_of(__m256 pairs) {
  return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}

TARGET static inline __m256 first_of(__m256 pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}

#include "microkernel_bf16_template.h"

void rk_bf16_by_rows_avx2(const rk_tile *tile) { by_rows(tile); }
#endif
