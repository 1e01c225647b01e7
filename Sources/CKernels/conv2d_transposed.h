// What the forward passes with a transposed product share.
#ifndef RESIDUAL_CONV2D_TRANSPOSED_H
#define RESIDUAL_CONV2D_TRANSPOSED_H

#include "conv2d.h"
#include "microkernel.h"

/// Output channels of a block of results, and the most tasks of a product or of packing for it.
enum { RK_BLOCK_CHANNELS = 2 * RK_PANEL, RK_TRANSPOSED_TASKS = 16 };

/// Part of the output: `channels` from `channel` on of `rows` rows from `row` on; at most RK_BLOCK_CHANNELS and
/// RK_TILE_COLUMNS.
typedef struct {
  size_t channel, channels, row, rows;
} rk_block;

/// Writes the block from its sums, sums[c * RK_TILE_COLUMNS + r], and does what the epilogue says.
void rk_write_turned(const rk_conv2d *shape, const rk_block *block, const float *sums, const rk_epilogue *epilogue,
                     float *output);

/// 3x3 convolutions of 2x2 images.
bool rk_transposed_winograd_possible(const rk_conv2d *shape);
size_t rk_transposed_winograd_packed_count(const rk_conv2d *shape);
size_t rk_transposed_winograd_pack_tasks(const rk_conv2d *shape);
void rk_transposed_winograd_pack(const rk_conv2d *shape, const float *input, float *packed, size_t task);
/// Output channels [channel, channel_end).
void rk_transposed_winograd_run(const rk_conv2d *shape, const float *packed, const float *weight,
                                const rk_epilogue *epilogue, float *output, size_t channel, size_t channel_end);

#endif
