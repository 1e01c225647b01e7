// AVX2 and FMA: 6 x 2 sums of 8 floats, two vectors of B, one or two of A: 16 registers.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define LANES 8
#define ROWS 6
#define VECTORS 2
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4) visit(5) visit(6)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2)
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define BROADCAST(p) _mm256_broadcast_ss(p)
#define MULTIPLY_ADD(a, b, sum) _mm256_fmadd_ps(a, b, sum)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define MASK(n) _mm256_loadu_si256((const __m256i *)(lane_masks + LANES - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, MASK(n))
#define STORE_PART(p, n, x) _mm256_maskstore_ps(p, MASK(n), x)
#define STREAM(p, x) _mm256_stream_ps(p, x)

// Eight words from `LANES - n` on have their first n set.
static const int32_t lane_masks[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_avx2 = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
