// AVX-512 as the microkernel templates want it: what float and bfloat16 have in common. The including file defines
// TARGET.
//
// 6 x 4 sums of 16 floats, four vectors of B, up to four of A: 32 registers. This shape has the fewest loads for the
// products (10 for 24); where a result is narrower, 12 x 2 sums.
#ifndef RESIDUAL_VECTOR_AVX512_H
#define RESIDUAL_VECTOR_AVX512_H

#include <immintrin.h>

#define VECTOR __m512
#define LANES 16
#define ROWS 12
#define VECTORS 4
#define MOST_ROWS(v) ((v) <= 2 ? 12u : 6u)
#define FOR_EACH_PART(visit) SIX_ROWS(visit, 1) SIX_ROWS(visit, 2) SIX_ROWS(visit, 3) SIX_ROWS(visit, 4) \
    SIX_MORE_ROWS(visit, 1) SIX_MORE_ROWS(visit, 2)
#define SIX_MORE_ROWS(visit, v) visit(7, v) visit(8, v) visit(9, v) visit(10, v) visit(11, v) visit(12, v)
#define ZERO() _mm512_setzero_ps()
#define LOAD(p) _mm512_loadu_ps(p)
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define MULTIPLY(a, b) _mm512_mul_ps(a, b)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MAXIMUM(a, b) _mm512_max_ps(a, b)
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define STORE_PART(p, n, x) _mm512_mask_storeu_ps(p, MASK(n), x)
#define STORE(p, x) _mm512_storeu_ps(p, x)

#endif
