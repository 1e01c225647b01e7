// Weights packed for the products: for each panel of result channels and each tap a matrix.
#ifndef RESIDUAL_CONV2D_PACK_H
#define RESIDUAL_CONV2D_PACK_H

#include "conv2d_rectangle.h"

/// For floats.
rk_pack_function rk_pack_matrices;

/// Floats of a packed weight, all panels and taps.
size_t rk_packed_floats(const rk_product *product);

/// The weight falls into pieces: a tap of the panels that are packed together. Packs pieces [pieces * task / tasks,
/// pieces * (task + 1) / tasks).
size_t rk_pack_pieces(const rk_product *product);
void rk_pack_pieces_of_task(const rk_product *product, const float *weight, float *packed, size_t task, size_t tasks);

#endif
