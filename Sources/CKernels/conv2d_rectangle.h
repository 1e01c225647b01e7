// The form that the forward pass and the input gradient share, and the rectangles it falls into.
//
// Result rows = sum over taps of source rows times the tap's matrix, with other taps in each rectangle of positions.
#ifndef RESIDUAL_CONV2D_RECTANGLE_H
#define RESIDUAL_CONV2D_RECTANGLE_H

#include "arithmetic.h"
#include "bfloat16.h"
#include "conv2d_windows.h"
#include "microkernel.h"

typedef struct rk_product rk_product;

/// Writes out[n * panel_stride + k * 32 + c] = the weight between source channel channel + k, k < depth, and result
/// channel (panel + n) * 32 + c, n < panels, at tap number `tap`; zero where there is no such channel.
typedef void rk_pack_function(const rk_product *product, const float *weight, size_t panel, size_t panels, size_t tap,
                              size_t channel, size_t depth, float *out, size_t panel_stride);

struct rk_product {
  rk_axis height, width;
  size_t batch;
  size_t depth;    // source channels
  size_t columns;  // result channels
  size_t tile_rows, tile_panels;  // what the microkernel takes at once
  size_t part_rows;               // how many of the rows it keeps in registers
  size_t depth_multiple;  // source rows are read in place only if `depth` is a multiple of it
  rk_pack_function *pack;
  size_t panels_together;  // how many panels `pack` packs at the same time, if it gets so many
  rk_rounding_rows *round_rows;  // NULL, or how results become bfloat16
};

rk_product rk_product_of(const rk_conv2d *shape, bool gradient);

static inline size_t rk_product_taps(const rk_product *p) { return p->height.kernel * p->width.kernel; }
static inline size_t rk_product_panels(const rk_product *p) { return divide_up(p->columns, RK_PANEL); }
static inline size_t rk_packed_depth(const rk_product *p) {
  return divide_up(p->depth, p->depth_multiple) * p->depth_multiple;
}

/// The result positions of one pair of spans. Rows are numbered by height, width, image; `run` consecutive ones (a
/// divisor of all) lie `stride` source rows apart. Runs too short for a tile are not told apart: the rows are gathered.
typedef struct {
  rk_span height, width;
  size_t rows, run;
  ptrdiff_t stride;
  bool gathered;
  size_t parts_per_run, tiles_per_run, tiles, taps;
} rk_rectangle;

/// Moves to the next rectangle; a zeroed one is before the first. False after the last.
bool rk_next_rectangle(const rk_product *product, rk_rectangle *rectangle);

/// Source and result offsets of `count` rows from number `row` on.
void rk_locate_rows(const rk_product *product, const rk_rectangle *rectangle, size_t row, size_t count,
                    ptrdiff_t *source, size_t *result);

/// How the work is cut into tasks: `chunks` of tiles of about equal cost times `groups` of units, which are the panels
/// that the microkernel takes at once.
typedef struct {
  size_t cost, panels, units, chunks, groups;
} rk_partition;

/// For weights packed beforehand.
rk_partition rk_partition_of(const rk_product *product);

/// For weights that every task packs for itself, so that a panel belongs to few of them. `panel_floats`: of the packed
/// panel; `room`: floats that a task can hold.
rk_partition rk_direct_partition_of(const rk_product *product, size_t panel_floats, size_t room);

/// Tiles [*first, *end) of the rectangle belong to the chunk; `before` is the cost of all rectangles before it.
void rk_tiles_of_chunk(const rk_partition *partition, size_t chunk, const rk_rectangle *rectangle, size_t before,
                       size_t *first, size_t *end);

/// Cost of the rectangle, to add to `before`.
size_t rk_rectangle_cost(const rk_rectangle *rectangle);

#endif
