// bfloat16 with AVX-512 BF16: a pair of products a lane (VDPBF16PS), in the shapes of the microkernels for floats.
#if defined(__x86_64__)
#include "microkernel_bf16.h"
#include "vector_avx512.h"

#define TARGET __attribute__((target("prfchw,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define MULTIPLY_ADD(a, b, sum) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(b))
#define LONGEST_SUM(tile) SIZE_MAX

#include "microkernel_template.h"

const rk_bf16_microkernels rk_bf16_microkernels_avx512 = {RK_BF16_SHAPE, by_rows, by_columns};
#endif
