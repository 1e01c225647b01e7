// Pooling over [H, W, N, C]. `block` is N * C: pooling never mixes images or channels, so a position is one vector.
#ifndef RESIDUAL_POOL_H
#define RESIDUAL_POOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  size_t block, height, width, out_height, out_width;
  size_t kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
} rk_pool2d;

/// Output rows [row_begin, row_end) of OH. winners [OH, OW, block] holds the window index (kh * KW + kw) of the maximum:
/// the first one in scan order, and a NaN wins, as in PyTorch. winners may be NULL.
void rk_max_pool2d(const rk_pool2d *shape, const float *x, size_t row_begin, size_t row_end, float *y,
                   uint8_t *winners);

/// Input rows [row_begin, row_end) of H: each input gathers the gradients of the windows it won, in window order.
void rk_max_pool2d_backward(const rk_pool2d *shape, const float *grad_y, const uint8_t *winners, size_t row_begin,
                            size_t row_end, float *grad_x);

/// Mean over `positions` positions for elements [begin, end) of the block.
void rk_global_average(const float *x, size_t positions, size_t block, size_t begin, size_t end, float *y);

#endif
