// bfloat16 with AVX2 and FMA: both halves of a pair become floats.
// 4 x 2 sums of 8 floats leave registers for the halves of B and A.
#if defined(__x86_64__)
#include "microkernel_bf16.h"
#include "vector_avx2.h"

#define ROWS 4
#define VECTORS 2
#define MOST_ROWS(v) 4u
#define FOR_EACH_PART(visit) FOUR_ROWS(visit, 1) FOUR_ROWS(visit, 2)
#define BROADCAST(p) _mm256_broadcast_ss(p)
#define MULTIPLY_ADD(a, b, sum) multiply_add_pairs(a, b, sum)
#define LONGEST_SUM(tile) SIZE_MAX

TARGET static inline __m256 second_of(__m256 pairs) {
  return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}

TARGET static inline __m256 first_of(__m256 pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}

TARGET static inline __m256 multiply_add_pairs(__m256 a, __m256 b, __m256 sum) {
  return _mm256_fmadd_ps(first_of(a), first_of(b), _mm256_fmadd_ps(second_of(a), second_of(b), sum));
}

#include "microkernel_template.h"

const rk_bf16_microkernels rk_bf16_microkernels_avx2 = {RK_BF16_SHAPE, by_rows, by_columns, rk_float_rows_to_bfloat16};
#endif
