// AVX2 and FMA as the microkernel templates want them: what float and bfloat16 have in common.
#ifndef RESIDUAL_VECTOR_AVX2_H
#define RESIDUAL_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define LANES 8
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define MASK(n) _mm256_loadu_si256((const __m256i *)(lane_masks + LANES - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, MASK(n))
#define STORE_PART(p, n, x) _mm256_maskstore_ps(p, MASK(n), x)
#define STORE(p, x) _mm256_storeu_ps(p, x)

// Eight words from `LANES - n` on have their first n set.
static const int32_t lane_masks[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

#endif
