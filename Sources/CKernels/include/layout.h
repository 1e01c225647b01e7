// Between the logical orders of PyTorch and the physical order of the kernels.
#ifndef RESIDUAL_LAYOUT_H
#define RESIDUAL_LAYOUT_H

#include <stddef.h>

/// out[c * out_stride + r] = x[r * x_stride + c] for r < rows and c < columns.
/// NCHW to HWNC is the transpose of [N*C, H*W]; HWNC to NCHW is the transpose of [H*W, N*C]. The same holds for weights,
/// O and I in place of N and C.
void rk_transpose(const float *x, size_t x_stride, size_t rows, size_t columns, float *out, size_t out_stride);

#endif
