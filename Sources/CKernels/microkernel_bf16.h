// Microkernels for bfloat16 operands and float sums.
//
// Two consecutive steps of a sum form a pair, the size of a float: A, B, depths and strides of an rk_tile count pairs,
// and b holds [pairs][32] pairs. As VDPBF16PS does it, the second product of a pair is added first; both additions
// round to nearest, and denormals count as zero. Every instruction set gives the same bits.
#ifndef RESIDUAL_MICROKERNEL_BF16_H
#define RESIDUAL_MICROKERNEL_BF16_H

#include "microkernel.h"

extern const rk_microkernels rk_microkernels_bf16_portable;
#if defined(__x86_64__)
extern const rk_microkernels rk_microkernels_bf16_avx2, rk_microkernels_bf16_avx512;
#elif defined(__aarch64__)
extern const rk_microkernels rk_microkernels_bf16_neon;
#endif

/// The microkernels for the instruction set in use. Denormals must be flushed while they run.
const rk_microkernels *rk_microkernels_bf16_current(void);

#endif
