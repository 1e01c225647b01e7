// NEON: 6 x 4 sums of 4 floats, four vectors of B, one or two of A: 30 of 32 registers.
#if defined(__aarch64__)
#include "vector_neon.h"

#define ROWS 6
#define VECTORS 4
#define MOST_ROWS(v) 6u
#define FOR_EACH_PART(visit) SIX_ROWS(visit, 1) SIX_ROWS(visit, 2) SIX_ROWS(visit, 3) SIX_ROWS(visit, 4)
#define BROADCAST(p) vld1q_dup_f32(p)
#define MULTIPLY_ADD(a, b, sum) vfmaq_f32(sum, a, b)
#define LONGEST_SUM(tile) RK_FLOAT_SUM(tile)

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_neon = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
