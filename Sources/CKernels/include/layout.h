// Between the logical orders of PyTorch and the physical order of the kernels.
#ifndef RESIDUAL_LAYOUT_H
#define RESIDUAL_LAYOUT_H

#include <stddef.h>

/// [a, b] row-major to [b, a] row-major: writes rows [row_begin, row_end) of the result.
/// NCHW to HWNC is the transpose of [N*C, H*W]; HWNC to NCHW is the transpose of [H*W, N*C]. The same holds for weights,
/// O and I in place of N and C.
void rk_transpose(const float *x, size_t a, size_t b, size_t row_begin, size_t row_end, float *out);

#endif
