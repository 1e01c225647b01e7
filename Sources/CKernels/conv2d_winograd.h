// 3x3 convolutions with stride 1 by Winograd's algorithms, see winograd_transforms.h: the forward pass and the input
// gradient as matrix products on transformed operands, fewer of them than by the definition.
// Results of a tile share their sums: a NaN or an infinity in the source reaches all four.
#ifndef RESIDUAL_CONV2D_WINOGRAD_H
#define RESIDUAL_CONV2D_WINOGRAD_H

#include "arithmetic.h"
#include "conv2d_rectangle.h"
#include "winograd_transforms.h"

/// Results of a tile along an axis.
enum { RK_WINOGRAD_TILE = 2 };
static inline size_t rk_winograd_tiles(size_t results) { return divide_up(results, RK_WINOGRAD_TILE); }

/// Rows of the products, which are numbered by tile (height, width) and image: those of one tile from `row` on, with its
/// place among the results.
typedef struct {
  size_t top, left;
  size_t image, count;
} rk_winograd_segment;

/// The segment at `row`, which ends before `row_end`, where the results are `width` wide.
rk_winograd_segment rk_winograd_segment_at(size_t width, size_t batch, size_t row, size_t row_end);

/// Activations or gradients, [height, width, batch, channels].
typedef struct {
  const float *x;
  size_t height, width, batch, channels;
} rk_images;

/// Where the channels from `channel` on of the positions of a square are, for images from `image` on; NULL outside.
/// Positions that wrap around below zero are outside.
void rk_find_square(const rk_images *images, size_t top, size_t left, size_t side, size_t image, size_t channel,
                    const float **square);

/// Whether the sizes allow it, in either direction.
bool rk_winograd_possible(const rk_conv2d *shape);
/// The algorithm, by the sizes of the images.
const rk_winograd_transforms *rk_winograd_of(const rk_conv2d *shape);
/// Rows of each of the products: 2x2 tiles of the output, of all images.
size_t rk_winograd_rows(const rk_conv2d *shape);
/// What the definition has: products of a row of the input with a tap.
size_t rk_defined_products(const rk_conv2d *shape);

/// Whether it is possible and the faster way forward and for the input gradient.
bool rk_winograd_pays(const rk_conv2d *shape);

/// The transformed weight: for each panel of 32 result channels and each of the products, [depth][32].
size_t rk_winograd_packed_count(const rk_product *product);
size_t rk_winograd_pack_tasks(const rk_product *product);
void rk_winograd_pack(const rk_product *product, const float *weight, float *packed, size_t task);

size_t rk_winograd_tasks(const rk_product *product);
void rk_winograd_run(const rk_product *product, const float *source, const float *packed, const rk_epilogue *epilogue,
                     bool accumulate, float *result, size_t task);

#endif
