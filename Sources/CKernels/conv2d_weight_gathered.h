// The weight gradient where there are few input channels: taps and channels together are the columns of one product.
#ifndef RESIDUAL_CONV2D_WEIGHT_GATHERED_H
#define RESIDUAL_CONV2D_WEIGHT_GATHERED_H

#include "conv2d.h"

/// Whether it is the faster way.
bool rk_gathered_weight_pays(const rk_conv2d *shape);

size_t rk_gathered_weight_tasks(const rk_conv2d *shape);
void rk_gathered_weight_run(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                            float *grad_weight, size_t task);

#endif
