// The common form of the forward pass and the input gradient: for every rectangle of result positions that meet the
// same taps, result rows = sum over taps of source rows times the tap's matrix.
#ifndef RESIDUAL_CONV2D_PRODUCT_H
#define RESIDUAL_CONV2D_PRODUCT_H

#include "conv2d_windows.h"

typedef struct {
  rk_axis height, width;
  size_t batch;
  size_t depth;    // source channels
  size_t columns;  // result channels
} rk_product;

rk_product rk_product_of(const rk_conv2d *shape, bool gradient);

size_t rk_product_tasks(const rk_product *product);

/// `packed` holds, for each panel of 32 result channels and each tap, the tap's matrix as [depth][32].
void rk_product_run(const rk_product *product, const float *source, const float *packed, const rk_epilogue *epilogue,
                    bool accumulate, float *result, size_t task);

#endif
