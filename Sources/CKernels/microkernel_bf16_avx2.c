// bfloat16 with AVX2 and FMA: both halves of a pair become floats.
// 5 x 1 sums of 8 floats, twice, leave registers for the halves of B and A.
#if defined(__x86_64__)
#include <string.h>

#include "microkernel_bf16.h"
#include "vector_avx2.h"

#define ROWS 5
#define VECTORS 1
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4) visit(5)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1)
#define BROADCAST(p) broadcast_pair(p)
#define FIRST(x) first_of(x)
#define SECOND(x) second_of(x)

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
