// The weight gradient: for each tap, the product of the transposed output gradient and the input rows that it meets.
//
// Output rows are taken in blocks, so that a block of both operands stays in the cache while every tile of the task
// adds it to its part of the result; partial sums are added up in the order of the blocks.
#include <string.h>

#include "arithmetic.h"
#include "conv2d_choices.h"
#include "conv2d_weight_gathered.h"
#include "conv2d_weight_partition.h"
#include "conv2d_weight_winograd.h"
#include "conv2d_windows.h"
#include "microkernel.h"

enum {
  BLOCK_ROWS = 256,
  // Rows of this many channels fall into so few sets of the L2 cache that half a block fills them.
  MANY_CHANNELS = 2048,
  // Tiles of a task that copies its columns of the output gradient, and how far apart the copy's rows are: they spread
  // over all sets of the first cache.
  MOST_COPIED_TILES = 6,
  COPY_STRIDE = 80,
};
_Static_assert(MOST_COPIED_TILES * RK_TILE_ROWS <= COPY_STRIDE, "a row of the copy holds all tiles");

// Units are the taps that meet data and, of each, the panels of input channels.
static size_t panel_count(const rk_conv2d *s) { return divide_up(s->in_channels, RK_TILE_COLUMNS); }

// Rows a multiple of 4 KiB apart fall into one set of the first cache and few of the second.
static bool rows_collide(size_t channels) { return channels * sizeof(float) % 4096 == 0; }

// Whether `columns` of the input are copied before they are multiplied: they are no whole pieces, or rows lie so that they
// drive each other from the cache, or apart (the runs of a tap), and many tiles read them.
static bool packs_input(const rk_conv2d *s, size_t columns) {
  enum { MANY = 128 };
  if (columns % RK_WHOLE_COLUMNS != 0) return true;
  if (rows_collide(s->in_channels)) return !rows_collide(s->out_channels);
  return rk_tap_count(s) > 1 && s->in_channels >= MANY && s->out_channels >= MANY;
}

// Whether a task copies its columns of the output gradient, once for all panels of the input, which then are all its own.
static bool copies_output(const rk_conv2d *s) {
  return rk_meets_rows_in_order(s) && rows_collide(s->out_channels) && !rows_collide(s->in_channels);
}

static rk_weight_partition partition_of(const rk_conv2d *s) {
  size_t units = panel_count(s) * rk_met_tap_count(s);
  size_t work = rk_output_rows(s) * units * RK_TILE_COLUMNS * s->out_channels;
  size_t tiles = divide_up(s->out_channels, RK_TILE_ROWS);
  if (!copies_output(s)) return rk_cut_weight(units, tiles, work);
  // A multiple of what threads there are, as a rule, or one of them has a task more.
  enum { THREADS = 8 };
  size_t groups = divide_up(divide_up(tiles, MOST_COPIED_TILES), THREADS) * THREADS;
  return (rk_weight_partition){units, tiles, .unit_groups = 1, .tile_groups = minimum(groups, tiles)};
}

size_t rk_conv2d_backward_weight_tasks(const rk_conv2d *shape) {
  if (rk_winograd_weight_pays(shape)) return rk_winograd_weight_tasks(shape);
  if (rk_gathered_weight_pays(shape)) return rk_gathered_weight_tasks(shape);
  if (rk_met_tap_count(shape) == 0) return 0;
  rk_weight_partition part = partition_of(shape);
  return rk_weight_tasks(&part);
}

// Blocks are of nearly equal size.
static size_t block_rows(const rk_conv2d *s) {
  size_t most = maximum(s->in_channels, s->out_channels) < MANY_CHANNELS ? BLOCK_ROWS : BLOCK_ROWS / 2;
  size_t rows = rk_output_rows(s);
  return divide_up(rows, maximum(divide_up(rows, most), 1));
}

typedef struct {
  const rk_conv2d *shape;
  const rk_microkernels *kernels;
  const float *input, *grad_output;
  float *grad_weight;
  size_t tile_count;
  rk_weight_share share;
  bool accumulate;
  size_t row, row_end;  // the block of output rows
  // The output gradient, in place or a copy: where row `a_row` and channel `a_channel` are.
  const float *a;
  size_t a_row, a_channel, a_stride;
  size_t stretch_count;
  rk_stretch stretches[BLOCK_ROWS];
  _Alignas(64) float packed[BLOCK_ROWS * RK_TILE_COLUMNS];
  _Alignas(64) float copy[BLOCK_ROWS * COPY_STRIDE];
} task;

static size_t tile_channel(const task *t, size_t tile) { return t->shape->out_channels * tile / t->tile_count; }

// The product of a tile of output channels with `columns` columns of B; rows of C are `c_stride` apart.
static void multiply_tile(const task *t, size_t k, const float *b, size_t b_stride, size_t b_panel, size_t columns,
                          float *c, size_t c_stride, bool accumulate) {
  size_t channel = tile_channel(t, k), rows = tile_channel(t, k + 1) - channel, c_rows[RK_TILE_ROWS];
  for (size_t r = 0; r < rows; r++) c_rows[r] = r * c_stride;
  rk_tile tile = {
      .rows = rows,
      .columns = columns,
      .stretches = t->stretches,
      .stretch_count = t->stretch_count,
      .a = t->a + (channel - t->a_channel),
      .a_stride = (ptrdiff_t)t->a_stride,
      .b = b,
      .b_stride = (ptrdiff_t)b_stride,
      .b_panel = (ptrdiff_t)b_panel,
      .c = c,
      .c_rows = c_rows,
      .accumulate = accumulate,
  };
  t->kernels->by_columns(&tile);
}

// The gradient of the weights from output channel `o` and input channel `i` on, for one tap.
static float *gradient_at(const task *t, size_t tap, size_t o, size_t i) {
  return t->grad_weight + (tap * t->shape->out_channels + o) * t->shape->in_channels + i;
}

// The stretches of the block that meet data with the tap; their offset in B is that of channel 0 of the input row.
static void find_stretches(task *t, size_t tap) {
  rk_run runs[BLOCK_ROWS];
  t->stretch_count = rk_find_runs(t->shape, tap, t->row, t->row_end, runs);
  for (size_t r = 0; r < t->stretch_count; r++) {
    t->stretches[r] = (rk_stretch){
        .a = (ptrdiff_t)((runs[r].output_row - t->a_row) * t->a_stride),
        .b = (ptrdiff_t)(runs[r].input_row * t->shape->in_channels),
        .depth = runs[r].count,
    };
  }
}

// Finds the block's rows of the output gradient, or makes the copy of the task's columns.
static void find_output(task *t) {
  size_t stride = t->shape->out_channels;
  t->a = t->grad_output;
  t->a_row = t->a_channel = 0;
  t->a_stride = stride;
  if (!copies_output(t->shape)) return;
  size_t first = tile_channel(t, t->share.tile), columns = tile_channel(t, t->share.tile_end) - first;
  for (size_t row = t->row; row < t->row_end; row++) {
    memcpy(t->copy + (row - t->row) * COPY_STRIDE, t->grad_output + row * stride + first, columns * sizeof(float));
  }
  t->a = t->copy;
  t->a_row = t->row;
  t->a_channel = first;
  t->a_stride = COPY_STRIDE;
}

// Copies the input rows of the stretches, from `channel` on: a panel of RK_PANEL columns of all of them, then another.
static void pack_stretches(task *t, size_t channel, size_t columns) {
  size_t row = 0, stride = t->shape->in_channels;
  for (size_t r = 0; r < t->stretch_count; r++) {
    rk_stretch *stretch = &t->stretches[r];
    for (size_t c = 0; c < columns; c += RK_PANEL) {
      t->kernels->copy(t->input + stretch->b + channel + c, stride, minimum(columns - c, RK_PANEL), stretch->depth,
                       t->packed + c * BLOCK_ROWS + row * RK_PANEL);
    }
    stretch->b = (ptrdiff_t)(row * RK_PANEL);
    row += stretch->depth;
  }
}

// One tap and the panel of input channels from `channel` on.
static void multiply_tap(task *t, size_t tap, size_t channel) {
  const rk_conv2d *s = t->shape;
  size_t columns = minimum(s->in_channels - channel, RK_TILE_COLUMNS);
  find_stretches(t, tap);
  if (t->stretch_count == 0) return;
  const float *b = t->input + channel;
  size_t b_stride = s->in_channels, b_panel = RK_PANEL;
  if (packs_input(s, columns)) {
    pack_stretches(t, channel, columns);
    b = t->packed;
    b_stride = RK_PANEL;
    b_panel = BLOCK_ROWS * RK_PANEL;
  }
  rk_area area = rk_tap_area(s, tap);
  bool begun = (area.top * s->out_width + area.left) * s->batch < t->row;
  for (size_t k = t->share.tile; k < t->share.tile_end; k++) {
    multiply_tile(t, k, b, b_stride, b_panel, columns, gradient_at(t, tap, tile_channel(t, k), channel), s->in_channels,
                  t->accumulate || begun);
  }
}

void rk_conv2d_backward_weight(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                               float *grad_weight, size_t number) {
  if (rk_winograd_weight_pays(shape)) {
    return rk_winograd_weight_run(shape, input, grad_output, accumulate, grad_weight, number);
  }
  if (rk_gathered_weight_pays(shape)) {
    return rk_gathered_weight_run(shape, input, grad_output, accumulate, grad_weight, number);
  }
  rk_weight_partition part = partition_of(shape);
  task t;
  t.shape = shape;
  t.kernels = rk_microkernels_current();
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.share = rk_weight_share_of(&part, number);
  t.accumulate = accumulate;
  size_t rows = rk_output_rows(shape), block = block_rows(shape), panels = panel_count(shape);
  for (t.row = 0; t.row < rows; t.row = t.row_end) {
    t.row_end = minimum(t.row + block, rows);
    find_output(&t);
    for (size_t unit = t.share.unit; unit < t.share.unit_end; unit++) {
      multiply_tap(&t, rk_met_tap(shape, unit / panels), unit % panels * RK_TILE_COLUMNS);
    }
  }
}
