// The input gradient of few channels, turned around so that vectors run along positions.
#ifndef RESIDUAL_CONV2D_PLANES_H
#define RESIDUAL_CONV2D_PLANES_H

#include "conv2d.h"

bool rk_planes_gradient_pays(const rk_conv2d *shape);
size_t rk_planes_gradient_tasks(const rk_conv2d *shape);
void rk_planes_gradient_run(const rk_conv2d *shape, const float *grad_output, const float *weight, bool accumulate,
                            float *grad_input, size_t task);

#endif
