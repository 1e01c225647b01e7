// One tap's matrix of one panel of result channels.
#ifndef RESIDUAL_CONV2D_PACK_H
#define RESIDUAL_CONV2D_PACK_H

#include "conv2d_rectangle.h"

/// For floats.
rk_pack_function rk_pack_matrix;

#endif
