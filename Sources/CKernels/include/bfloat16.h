// bfloat16: the upper half of a float, 8 bits of precision with a float's range.
#ifndef RESIDUAL_BFLOAT16_H
#define RESIDUAL_BFLOAT16_H

#include <stddef.h>
#include <stdint.h>

/// Rounds to nearest, ties to even, as in PyTorch. Past the largest bfloat16 comes infinity; NaN stays NaN.
void rk_float_to_bfloat16(const float *x, size_t count, uint16_t *out);

#endif
