// The weight gradient of 3x3 convolutions with stride 1 by Winograd's algorithms, see winograd_transforms.h: matrix
// products on transformed input and output gradient, fewer than by the definition.
#ifndef RESIDUAL_CONV2D_WEIGHT_WINOGRAD_H
#define RESIDUAL_CONV2D_WEIGHT_WINOGRAD_H

#include "conv2d.h"

/// Whether it is possible and the faster way.
bool rk_winograd_weight_pays(const rk_conv2d *shape);

size_t rk_winograd_weight_tasks(const rk_conv2d *shape);
void rk_winograd_weight_run(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                            float *grad_weight, size_t task);

#endif
