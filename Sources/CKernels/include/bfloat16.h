// bfloat16: the upper half of a float, 8 bits of precision with a float's range.
#ifndef RESIDUAL_BFLOAT16_H
#define RESIDUAL_BFLOAT16_H

#include <stddef.h>
#include <stdint.h>

/// Rounds to nearest, ties to even, as in PyTorch. Past the largest bfloat16 comes infinity; NaN stays NaN.
void rk_float_to_bfloat16(const float *x, size_t count, uint16_t *out);

/// The same for `rows` rows of `columns` floats: row r begins at starts[r] in `x` and in `out`.
typedef void rk_rounding_rows(const float *x, const size_t *starts, size_t rows, size_t columns, uint16_t *out);
rk_rounding_rows rk_float_rows_to_bfloat16;

/// Two rows at a time, interleaved, in panels of 32 columns: out[n * panel_stride + k * 32 + c] holds, rounded,
/// x[2k * stride + n * 32 + c] in its lower half and x[(2k + 1) * stride + n * 32 + c] in its upper, for k < pairs and
/// n * 32 + c < columns.
void rk_float_row_pairs_to_bfloat16(const float *x, size_t stride, size_t columns, size_t pairs, uint32_t *out,
                                    size_t panel_stride);

#endif
