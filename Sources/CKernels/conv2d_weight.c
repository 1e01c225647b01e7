// The weight gradient: for each tap, the product of the transposed output gradient and the input rows that it meets.
//
// Output rows are taken in blocks, so that a block of both operands stays in the cache while every tile of the task
// adds it to its part of the result; partial sums are added up in the order of the blocks.
#include <stdatomic.h>
#include <string.h>

#include "arithmetic.h"
#include "conv2d_choices.h"
#include "conv2d_weight_winograd.h"
#include "conv2d_windows.h"
#include "microkernel.h"

enum {
  BLOCK_ROWS = 256,
  // Rows of this many channels fall into so few sets of the L2 cache that half a block fills them.
  MANY_CHANNELS = 2048,
  // A task has at most this many tiles of output channels, and not fewer than half of it for want of tasks.
  MOST_TILES = 22,
  TASK_WORK = 1 << 22,
  MOST_TASKS = 16,
};

static size_t tap_count(const rk_conv2d *s) { return s->kernel_height * s->kernel_width; }
static size_t column_count(const rk_conv2d *s) { return tap_count(s) * s->in_channels; }

// With few input channels (the first layer), taps and channels together are the columns of the product: the input is
// gathered, padding included.
static bool is_gathered(const rk_conv2d *s) { return s->in_channels < RK_WHOLE_COLUMNS && tap_count(s) > 1; }

// Columns of a unit: a whole tile, or what is gathered at a time.
static size_t unit_columns(const rk_conv2d *s) { return is_gathered(s) ? RK_PANEL : RK_TILE_COLUMNS; }

// The result has `units` of columns (each a tap and a panel of input channels, or a panel of gathered columns) and
// `tiles` of output channels; a task is one group of either.
typedef struct {
  size_t panels, units, tiles, unit_groups, tile_groups;
} partition;

static partition partition_of(const rk_conv2d *s) {
  partition part = {.tiles = divide_up(s->out_channels, RK_TILE_ROWS)};
  part.panels = divide_up(is_gathered(s) ? column_count(s) : s->in_channels, unit_columns(s));
  part.units = is_gathered(s) ? part.panels : part.panels * tap_count(s);
  size_t work = rk_output_rows(s) * part.units * unit_columns(s) * s->out_channels;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.tile_groups = divide_up(part.tiles, MOST_TILES);
  part.unit_groups = minimum(divide_up(tasks, part.tile_groups), part.units);
  if (part.unit_groups * part.tile_groups < tasks) {
    part.tile_groups = minimum(divide_up(tasks, part.unit_groups), divide_up(part.tiles, MOST_TILES / 2 + 1));
    if (part.units == 1 && part.tiles > 1) part.tile_groups = maximum(part.tile_groups, 2);
  }
  return part;
}

size_t rk_conv2d_backward_weight_tasks(const rk_conv2d *shape) {
  if (rk_winograd_weight_pays(shape)) return rk_winograd_weight_tasks(shape);
  partition part = partition_of(shape);
  return part.unit_groups * part.tile_groups;
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
  size_t tile_count, tile, tile_end;
  bool accumulate, streamed;
  size_t row, row_end;  // the block of output rows
  size_t stretch_count;
  rk_stretch stretches[BLOCK_ROWS];
  _Alignas(64) float packed[BLOCK_ROWS * RK_TILE_COLUMNS];
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
      .a = t->grad_output + channel,
      .a_stride = (ptrdiff_t)t->shape->out_channels,
      .b = b,
      .b_stride = (ptrdiff_t)b_stride,
      .b_panel = (ptrdiff_t)b_panel,
      .c = c,
      .c_rows = c_rows,
      .accumulate = accumulate,
      .streamed = t->streamed,
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
        .a = (ptrdiff_t)(runs[r].output_row * t->shape->out_channels),
        .b = (ptrdiff_t)(runs[r].input_row * t->shape->in_channels),
        .depth = runs[r].count,
    };
  }
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
  if (columns % RK_WHOLE_COLUMNS != 0) {
    pack_stretches(t, channel, columns);
    b = t->packed;
    b_stride = RK_PANEL;
    b_panel = BLOCK_ROWS * RK_PANEL;
  }
  rk_area area = rk_tap_area(s, tap);
  bool begun = (area.top * s->out_width + area.left) * s->batch < t->row;
  for (size_t k = t->tile; k < t->tile_end; k++) {
    multiply_tile(t, k, b, b_stride, b_panel, columns, gradient_at(t, tap, tile_channel(t, k), channel), s->in_channels,
                  t->accumulate || begun);
  }
}

static inline void copy_pieces(const float *x, size_t stride, size_t length, size_t depth, float *out) {
  for (size_t k = 0; k < depth; k++) memcpy(out + k * RK_PANEL, x + k * stride, length * sizeof(float));
}

// `depth` pieces of at most `in_channels` floats; those of images, up to four channels, without a loop for each.
static void gather_pieces(const float *x, size_t stride, size_t length, size_t depth, float *out) {
  switch (length) {
  case 1:
    return copy_pieces(x, stride, 1, depth, out);
  case 2:
    return copy_pieces(x, stride, 2, depth, out);
  case 3:
    return copy_pieces(x, stride, 3, depth, out);
  case 4:
    return copy_pieces(x, stride, 4, depth, out);
  default:
    return copy_pieces(x, stride, length, depth, out);
  }
}

// Neighbouring columns of a gathered panel: channels of one tap.
typedef struct {
  size_t kh, kw, channel, length;
} piece;

static size_t find_pieces(const rk_conv2d *s, size_t column, size_t columns, piece pieces[RK_PANEL]) {
  size_t count = 0;
  for (size_t c = column, next; c < column + columns; c = next) {
    size_t tap = c / s->in_channels;
    next = minimum((tap + 1) * s->in_channels, column + columns);
    pieces[count++] = (piece){tap / s->kernel_width, tap % s->kernel_width, c % s->in_channels, next - c};
  }
  return count;
}

// What the window at `top` and `left` meets, for `count` images, zeros elsewhere; false if it meets nothing. Outside
// the input, positions wrap around to what is larger than any of them.
static bool gather_window(const task *t, size_t top, size_t left, size_t image, size_t count, const piece *pieces,
                          size_t piece_count, float *out) {
  const rk_conv2d *s = t->shape;
  bool met = false;
  for (size_t p = 0, column = 0; p < piece_count; column += pieces[p++].length) {
    size_t h = top + pieces[p].kh, w = left + pieces[p].kw;
    if (h >= s->height || w >= s->width) continue;
    if (!met) memset(out, 0, count * RK_PANEL * sizeof(float));
    met = true;
    const float *x = t->input + ((h * s->width + w) * s->batch + image) * s->in_channels + pieces[p].channel;
    gather_pieces(x, s->in_channels, pieces[p].length, count, out + column);
  }
  return met;
}

static void add_stretch(task *t, size_t row, size_t packed_row, size_t count) {
  ptrdiff_t channels = (ptrdiff_t)t->shape->out_channels, a = (ptrdiff_t)row * channels;
  rk_stretch *last = &t->stretches[t->stretch_count];
  if (t->stretch_count > 0 && last[-1].a + (ptrdiff_t)last[-1].depth * channels == a) {
    last[-1].depth += count;
  } else {
    *last = (rk_stretch){a, (ptrdiff_t)(packed_row * RK_PANEL), count};
    t->stretch_count++;
  }
}

// Gathers the block's columns from `column` on, without the rows that meet nothing.
static void gather(task *t, size_t column, size_t columns) {
  const rk_conv2d *s = t->shape;
  piece pieces[RK_PANEL];
  size_t piece_count = find_pieces(s, column, columns, pieces), kept = 0, line = s->out_width * s->batch;
  size_t oh = t->row / line, ow = t->row % line / s->batch, image = t->row % s->batch;
  t->stretch_count = 0;
  for (size_t row = t->row, count; row < t->row_end; row += count, image = 0) {
    count = minimum(s->batch - image, t->row_end - row);
    size_t top = oh * s->stride_height - s->padding_height, left = ow * s->stride_width - s->padding_width;
    if (gather_window(t, top, left, image, count, pieces, piece_count, t->packed + kept * RK_PANEL)) {
      add_stretch(t, row, kept, count);
      kept += count;
    }
    if (++ow == s->out_width) {
      ow = 0;
      oh++;
    }
  }
}

// Adds a tile of columns from `column` on, which lie apart in the result.
static void scatter(const task *t, size_t k, size_t column, size_t columns, float (*tile)[RK_PANEL], bool accumulate) {
  size_t inputs = t->shape->in_channels, first = tile_channel(t, k), rows = tile_channel(t, k + 1) - first;
  for (size_t c = 0; c < columns; c++) {
    float *gradient = gradient_at(t, (column + c) / inputs, first, (column + c) % inputs);
    for (size_t r = 0; r < rows; r++, gradient += inputs) *gradient = tile[r][c] + (accumulate ? *gradient : 0);
  }
}

// Columns from `column` on of the gathered input: taps, and in each the channels.
static void multiply_gathered(task *t, size_t column) {
  size_t columns = minimum(column_count(t->shape) - column, RK_PANEL);
  gather(t, column, columns);
  for (size_t k = t->tile; k < t->tile_end; k++) {
    float tile[RK_TILE_ROWS][RK_PANEL];
    multiply_tile(t, k, t->packed, RK_PANEL, 0, columns, tile[0], RK_PANEL, false);
    scatter(t, k, column, columns, tile, t->accumulate || t->row > 0);
  }
}

// Taps that meet only padding have no gradient: clears those of units [first, end).
static void clear_unmet_taps(const task *t, const partition *part, size_t first, size_t end) {
  const rk_conv2d *s = t->shape;
  size_t top = tile_channel(t, t->tile), bottom = tile_channel(t, t->tile_end);
  for (size_t unit = first, next; unit < end; unit = next) {
    size_t tap = unit / part->panels, panel = unit % part->panels;
    next = minimum((tap + 1) * part->panels, end);
    if (!rk_area_is_empty(rk_tap_area(s, tap))) continue;
    size_t channel = panel * RK_TILE_COLUMNS;
    size_t columns = minimum((panel + next - unit) * RK_TILE_COLUMNS, s->in_channels) - channel;
    if (columns == s->in_channels) {
      memset(gradient_at(t, tap, top, 0), 0, (bottom - top) * columns * sizeof(float));
      continue;
    }
    for (size_t o = top; o < bottom; o++) memset(gradient_at(t, tap, o, channel), 0, columns * sizeof(float));
  }
}

void rk_conv2d_backward_weight(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                               float *grad_weight, size_t task_number) {
  if (rk_winograd_weight_pays(shape)) {
    return rk_winograd_weight_run(shape, input, grad_output, accumulate, grad_weight, task_number);
  }
  partition part = partition_of(shape);
  size_t unit_group = task_number / part.tile_groups, tile_group = task_number % part.tile_groups;
  size_t first = part.units * unit_group / part.unit_groups, end = part.units * (unit_group + 1) / part.unit_groups;
  task t;
  t.shape = shape;
  t.kernels = rk_microkernels_current();
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.tile = part.tiles * tile_group / part.tile_groups;
  t.tile_end = part.tiles * (tile_group + 1) / part.tile_groups;
  t.accumulate = accumulate;
  size_t rows = rk_output_rows(shape), block = block_rows(shape);
  t.streamed = !is_gathered(shape) && rk_streams_gradient(shape, accumulate, block);
  if (!accumulate && !is_gathered(shape)) clear_unmet_taps(&t, &part, first, end);
  for (t.row = 0; t.row < rows; t.row = t.row_end) {
    t.row_end = minimum(t.row + block, rows);
    for (size_t unit = first; unit < end; unit++) {
      size_t column = unit % part.panels * unit_columns(shape);
      is_gathered(shape) ? multiply_gathered(&t, column) : multiply_tap(&t, unit / part.panels, column);
    }
  }
  if (t.streamed) atomic_thread_fence(memory_order_seq_cst);  // streamed results are seen by whoever sees the task done
}
