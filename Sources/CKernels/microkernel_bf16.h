// Microkernels for bfloat16 operands and float sums.
//
// Two consecutive steps of a sum form a pair, the size of a float: A, B, depths and strides of an rk_tile count pairs.
// The arithmetic is that of VDPBF16PS (AVX-512 BF16): pair after pair, sum += second products, then sum += first products,
// each with a single rounding. Denormals count as zero. Every instruction set gives these bits but AMX, which adds up in
// another order (see there).
#ifndef RESIDUAL_MICROKERNEL_BF16_H
#define RESIDUAL_MICROKERNEL_BF16_H

#include <stdint.h>

#include "bfloat16.h"
#include "microkernel.h"

typedef void rk_microkernel(const rk_tile *tile);

/// What a tile may be, and its microkernels. Denormals must be flushed while they run.
typedef struct {
  size_t tile_rows, tile_panels, part_rows;
  size_t depth_multiple;  // depths of stretches must be multiples of it
  rk_microkernel *by_rows;
  rk_microkernel *by_columns;  // NULL: A has to be transposed, for by_rows
  rk_rounding_rows *round_rows;  // finished results, which are no denormals: rk_float_rows_to_bfloat16
} rk_bf16_microkernels;

/// Tiles as large as those of floats.
#define RK_BF16_SHAPE RK_TILE_ROWS, RK_TILE_COLUMNS / RK_PANEL, RK_PART_ROWS, 1

/// Of any instruction set.
enum { RK_BF16_MOST_ROWS = 32, RK_BF16_MOST_COLUMNS = RK_TILE_COLUMNS };

extern const rk_bf16_microkernels rk_bf16_microkernels_portable;
#if defined(__x86_64__)
extern const rk_bf16_microkernels rk_bf16_microkernels_avx2, rk_bf16_microkernels_avx512, rk_bf16_microkernels_amx;
/// Gives the tile registers back.
void rk_amx_end(void);
#elif defined(__aarch64__)
extern const rk_bf16_microkernels rk_bf16_microkernels_neon;
#endif

/// The microkernels of the instruction set in use.
const rk_bf16_microkernels *rk_bf16_microkernels_current(void);

/// Ends a task: gives back what the microkernels keep set up on this thread from one tile to the next.
void rk_bf16_end(void);

#endif
