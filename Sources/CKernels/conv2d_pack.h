// Weights packed for the products: for each panel of result channels and each tap a matrix.
#ifndef RESIDUAL_CONV2D_PACK_H
#define RESIDUAL_CONV2D_PACK_H

#include "conv2d_rectangle.h"

/// For floats.
rk_pack_function rk_pack_matrices;

/// Floats of a packed weight, all panels and taps.
size_t rk_packed_floats(const rk_product *product);

/// Packs all of it, in tasks.
size_t rk_pack_tasks(const rk_product *product);
void rk_pack_weight(const rk_product *product, const float *weight, float *packed, size_t task);

#endif
