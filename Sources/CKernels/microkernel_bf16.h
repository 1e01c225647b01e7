// Microkernels for bfloat16 operands and float sums, by_rows only.
//
// Two consecutive steps of a sum form a pair, the size of a float: A, B, depths and strides of an rk_tile count pairs,
// and a tile has at most RK_BF16_ROWS rows. The arithmetic is that of TDPBF16PS (AMX): for every 16 pairs of a stretch,
// the first and the second products of the pairs are added up apart, from zero, each with a single rounding; then
// sum += firsts + seconds. Denormals count as zero. Every instruction set gives these bits. (VDPBF16PS adds in another
// order, and is slower than float arithmetic where there is AMX.)
#ifndef RESIDUAL_MICROKERNEL_BF16_H
#define RESIDUAL_MICROKERNEL_BF16_H

#include "microkernel.h"

enum { RK_BF16_ROWS = 32, RK_BF16_GROUP = 16 };

typedef void rk_microkernel(const rk_tile *tile);

rk_microkernel rk_bf16_by_rows_portable;
#if defined(__x86_64__)
rk_microkernel rk_bf16_by_rows_avx2, rk_bf16_by_rows_amx;
/// Gives the tile registers back.
void rk_amx_end(void);
/// Whether processor and operating system have AMX with bfloat16; the first call asks for the permission to use it.
bool rk_amx_available(void);
#elif defined(__aarch64__)
rk_microkernel rk_bf16_by_rows_neon;
#endif

/// The microkernel for the instruction set in use. Denormals must be flushed while it runs. Depths of stretches must be
/// multiples of RK_BF16_GROUP.
rk_microkernel *rk_bf16_by_rows_current(void);

/// Ends a task: gives back what the microkernel keeps set up on this thread from one tile to the next.
void rk_bf16_end(void);

#endif
