// Winograd's algorithms for 3x3 convolutions with stride 1: a 2x2 tile of results is
//   Y = Aᵀ [ (G g Gᵀ) * (Bᵀ d B) ] A
// with the 3x3 kernel g, the patch d of the source that the tile meets and * element by element. (Lavin and Gray, Fast
// Algorithms for Convolutional Neural Networks, arXiv:1509.09308.)
//
// The gradient of the kernel is the other way round: of a patch d and the gradients e of the four results it is
//   [ (A e Aᵀ) * (Bᵀ d B) ] summed over all patches, then Gᵀ of it G.
// A factor may move from G to A in it.
//
// All transforms are linear and work on many channels and images at once: element q of a patch is an array.
#ifndef RESIDUAL_WINOGRAD_TRANSFORMS_H
#define RESIDUAL_WINOGRAD_TRANSFORMS_H

#include <stdbool.h>
#include <stddef.h>

/// Elements of a tile of results and of a kernel, in rows of 2 and 3; the most of a patch, before or after the
/// transform, in rows of 4.
enum { RK_WINOGRAD_RESULTS = 4, RK_WINOGRAD_TAPS = 9, RK_WINOGRAD_MOST_PATCH = 16, RK_WINOGRAD_MOST_SIDE = 4 };

/// Floats of a row that are transformed in one call.
enum { RK_WINOGRAD_PIECE = 512 };

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

/// One of the algorithms.
typedef struct {
  size_t side, products;  // of transformed patches and kernels: products = side * side for a tile
  size_t patch_side;      // of patches
  size_t patch_inset;     // how far from the place of the first tap a patch begins
  bool short_sums;        // sums of products are put away early, or rounding errors are too large

  /// Row `row` of transformed patches: out[j * stride + r * count + i] = (Bᵀ d B)[row, j] with
  /// d[q] = patch[q][r * row_stride + i], or zero where patch[q] is NULL, for r < rows and
  /// i < count <= RK_WINOGRAD_PIECE. Two rows of the patch are read at most.
  void (*transform_patch)(const float *const *patch, size_t row, size_t rows, size_t row_stride, size_t count,
                          float *out, size_t stride);

  /// The same of the gradients of a tile of results: out[j * stride + r * count + i] = (A e Aᵀ)[row, j].
  void (*transform_gradient)(const float *const *tile, size_t row, size_t rows, size_t row_stride, size_t count,
                             float *out, size_t stride);

  /// out[q * stride + i] = (G g Gᵀ)[q], with g[t] = taps[t][i], for i < count.
  void (*transform_taps)(const float *const *taps, size_t count, float *out, size_t stride);

  /// results[q][r * result_stride + c] = (Aᵀ m A)[q], with m[q] the sums.
  void (*transform_sums)(const rk_winograd_outputs *outputs);

  /// results[t][r * result_stride + c] = (Gᵀ m G)[t], or this added to it, with m[q] = sums[q * stride + r * columns + c],
  /// for r < rows and c < columns.
  void (*transform_kernel_sums)(const float *sums, size_t stride, size_t rows, size_t columns, bool accumulate,
                                float *const *results, size_t result_stride);
} rk_winograd_transforms;

/// F(2x2, 3x3): 16 products for a tile, from patches of 4x4, where the definition has up to 36.
extern const rk_winograd_transforms rk_winograd_4x4;

/// For images of 2x2 with padding 1, all of which are their only patch: 9 products where the definition has 16.
extern const rk_winograd_transforms rk_winograd_2x2;

#endif
