// One tap's matrix of one panel of result channels.
#ifndef RESIDUAL_CONV2D_PACK_H
#define RESIDUAL_CONV2D_PACK_H

#include "conv2d_rectangle.h"

/// Writes out[k * 32 + c] = the weight between source channel channel + k, k < depth, and result channel
/// panel * 32 + c, at tap number `tap`.
void rk_pack_matrix(const rk_product *product, const float *weight, size_t panel, size_t tap, size_t channel,
                    size_t depth, float *out);

#endif
