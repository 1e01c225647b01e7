// The transforms of Winograd's F(2x2, 3x3): a 2x2 tile of results of a 3x3 convolution is
//   Y = Aᵀ [ (G g Gᵀ) * (Bᵀ d B) ] A
// with the 3x3 kernel g, the 4x4 patch d of the source that the tile meets and * element by element: 16 products
// instead of 36. (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308.)
//
// The gradient of the kernel is the other way round: of a patch d and the gradients e of the four results it is
//   [ (H e Hᵀ) * (Bᵀ d B) ] summed over all patches, then Cᵀ of it C.
//
// All transforms are linear and work on many channels and images at once: element q of a patch is an array.
#ifndef RESIDUAL_WINOGRAD_TRANSFORMS_H
#define RESIDUAL_WINOGRAD_TRANSFORMS_H

#include <stdbool.h>
#include <stddef.h>

/// Elements of a tile of results, of a kernel and of a patch, in rows of 2, 3 and 4.
enum { RK_WINOGRAD_RESULTS = 4, RK_WINOGRAD_TAPS = 9, RK_WINOGRAD_PATCH = 16, RK_WINOGRAD_SIDE = 4 };

/// Floats of a row that are transformed in one call.
enum { RK_WINOGRAD_PIECE = 512 };

/// Row `row` of transformed patches: out[j * stride + r * count + i] = (Bᵀ d B)[row, j] with
/// d[q] = patch[q][r * row_stride + i], or zero where patch[q] is NULL, for r < rows and i < count <= RK_WINOGRAD_PIECE.
/// Two rows of the patch are read: for `row` 0 to 3, rows 0 and 2, 1 and 2, 2 and 1, 1 and 3.
void rk_winograd_transform_patch(const float *const patch[RK_WINOGRAD_PATCH], size_t row, size_t rows,
                                 size_t row_stride, size_t count, float *out, size_t stride);

/// The same of the gradients of a tile of results: out[j * stride + r * count + i] = (H e Hᵀ)[row, j].
void rk_winograd_transform_gradient(const float *const tile[RK_WINOGRAD_RESULTS], size_t row, size_t rows,
                                    size_t row_stride, size_t count, float *out, size_t stride);

/// out[q * stride + i] = (G g Gᵀ)[q], with g[t] = taps[t][i], for i < count.
void rk_winograd_transform_taps(const float *const taps[RK_WINOGRAD_TAPS], size_t count, float *out, size_t stride);

/// Rows of results of one tile, and what is done as they are written.
typedef struct {
  const float *sums;  // element q of row r is sums[q * stride + r * width + c], c < columns
  size_t stride, width, rows, columns;
  float *results[RK_WINOGRAD_RESULTS];  // NULL: outside the result
  const float *residuals[RK_WINOGRAD_RESULTS];  // added; where `results` is not NULL, NULL or laid out as it
  size_t result_stride;  // floats between rows of results
  const float *scale;    // [columns], multiplies every row, or NULL
  const float *bias;     // [columns], added to every row, or NULL
  bool accumulate, relu;
} rk_winograd_outputs;

/// results[q][r * result_stride + c] = (Aᵀ m A)[q], with m[q] the sums.
void rk_winograd_transform_sums(const rk_winograd_outputs *outputs);

/// results[t][r * result_stride + c] = (Cᵀ m C)[t], or this added to it, with m[q] = sums[q * stride + r * columns + c],
/// for r < rows and c < columns.
void rk_winograd_transform_kernel_sums(const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,
                                       float *const results[RK_WINOGRAD_TAPS], size_t result_stride);

#endif
