// AVX2 and FMA: 6 x 2 sums of 8 floats, two vectors of B, one or two of A: 16 registers.
#if defined(__x86_64__)
#include "vector_avx2.h"

#define ROWS 6
#define VECTORS 2
#define MOST_ROWS(v) 6u
#define FOR_EACH_PART(visit) SIX_ROWS(visit, 1) SIX_ROWS(visit, 2)
#define BROADCAST(p) _mm256_broadcast_ss(p)
#define MULTIPLY_ADD(a, b, sum) _mm256_fmadd_ps(a, b, sum)
#define LONGEST_SUM(tile) RK_FLOAT_SUM(tile)

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_avx2 = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
