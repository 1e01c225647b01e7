// 3x3 convolutions with stride 1 by Winograd's F(2x2, 3x3), see winograd_transforms.h: the forward pass and the input
// gradient as 16 matrix products on transformed operands, with 4 products for a result where the definition has 9.
// Results of a tile share their sums: a NaN or an infinity in the source reaches all four.
#ifndef RESIDUAL_CONV2D_WINOGRAD_H
#define RESIDUAL_CONV2D_WINOGRAD_H

#include "conv2d_rectangle.h"

/// Whether it is possible and the faster way.
bool rk_winograd_pays(const rk_conv2d *shape);

/// The transformed weight: for each panel of 32 result channels and each of the 16 products, [depth][32].
size_t rk_winograd_packed_count(const rk_product *product);
size_t rk_winograd_pack_tasks(const rk_product *product);
void rk_winograd_pack(const rk_product *product, const float *weight, float *packed, size_t task);

size_t rk_winograd_tasks(const rk_product *product);
void rk_winograd_run(const rk_product *product, const float *source, const float *packed, const rk_epilogue *epilogue,
                     bool accumulate, float *result, size_t task);

#endif
