// NEON: 6 x 4 sums of 4 floats, four vectors of B, one or two of A: 30 of 32 registers.
#if defined(__aarch64__)
#include "vector_neon.h"

#define ROWS 6
#define VECTORS 4
#define FOR_EACH_ROWS(visit) visit(1) visit(2) visit(3) visit(4) visit(5) visit(6)
#define FOR_EACH_VECTORS(visit, r) visit(r, 1) visit(r, 2) visit(r, 3) visit(r, 4)
#define BROADCAST(p) vld1q_dup_f32(p)

#include "microkernel_template.h"

const rk_microkernels rk_microkernels_neon = {by_rows, by_columns, rk_transpose_portable, rk_copy_portable};
#endif
