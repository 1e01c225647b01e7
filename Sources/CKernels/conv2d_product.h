// Running the product of conv2d_rectangle.h, one task at a time.
#ifndef RESIDUAL_CONV2D_PRODUCT_H
#define RESIDUAL_CONV2D_PRODUCT_H

#include <stdint.h>

#include "conv2d_rectangle.h"
#include "microkernel.h"

/// With packed weights: for each panel and tap, [depth rounded up to depth_multiple][32]. `rounded` is NULL, or gets the
/// finished results as bfloat16, too.
size_t rk_product_tasks(const rk_product *product);
void rk_product_run(const rk_product *product, void (*by_rows)(const rk_tile *), const float *source,
                    const float *packed, const rk_epilogue *epilogue, bool accumulate, float *result, uint16_t *rounded,
                    size_t task);

/// With weights [KH, KW, O, I], packed by the product's own function where they are needed.
size_t rk_product_direct_tasks(const rk_product *product);
void rk_product_run_direct(const rk_product *product, void (*by_rows)(const rk_tile *), const float *source,
                           const float *weight, const rk_epilogue *epilogue, bool accumulate, float *result,
                           size_t task);

/// Whether no two of these tasks pack the same panel of the weight.
bool rk_product_direct_packs_once(const rk_product *product);

#endif
