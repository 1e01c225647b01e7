// The weight gradient: for each tap and 32 input channels, the product of the transposed output gradient and the input
// rows that the tap meets.
#include "conv2d_windows.h"
#include "microkernel.h"

enum {
  // Rows that are added up in registers; their 32 channels of input, packed, stay in the L1 cache.
  BLOCK_ROWS = 256,
  BLOCK_RUNS = 64,
  TASK_WORK = 1 << 20,
  MOST_TASKS = 64,
};

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static size_t maximum(size_t a, size_t b) { return a > b ? a : b; }
static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

// How the work is cut: `units` (a tap and a panel of input channels) in `unit_groups`, tiles of output channels in
// `tile_groups`.
typedef struct {
  size_t panels, units, tiles, unit_groups, tile_groups;
} partition;

static partition partition_of(const rk_conv2d *s) {
  partition part = {
      .panels = divide_up(s->in_channels, RK_PANEL),
      .tiles = divide_up(s->out_channels, RK_TILE_ROWS),
  };
  part.units = part.panels * s->kernel_height * s->kernel_width;
  size_t rows = s->out_height * s->out_width * s->batch;
  size_t work = rows * part.units * RK_PANEL * part.tiles * RK_TILE_ROWS;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.unit_groups = minimum(tasks, part.units);
  part.tile_groups = minimum(divide_up(tasks, part.unit_groups), part.tiles);
  return part;
}

size_t rk_conv2d_backward_weight_tasks(const rk_conv2d *shape) {
  partition part = partition_of(shape);
  return part.unit_groups * part.tile_groups;
}

typedef struct {
  const rk_conv2d *shape;
  const rk_microkernels *kernels;
  const float *input, *grad_output;
  float *grad_weight;
  size_t tile_count, tile, tile_end;
  bool accumulate;
  // The unit at hand.
  size_t tap, channel, columns;
  // The block at hand: stretches of output rows, and the input rows they meet, packed.
  rk_stretch runs[BLOCK_RUNS];
  size_t run_count, rows;
  float packed[BLOCK_ROWS * RK_PANEL];
} task;

static void flush_block(task *t) {
  const rk_conv2d *s = t->shape;
  size_t filter = s->kernel_height * s->kernel_width * s->in_channels;
  for (size_t k = t->tile; k < t->tile_end; k++) {
    size_t o = s->out_channels * k / t->tile_count, end = s->out_channels * (k + 1) / t->tile_count;
    size_t rows[RK_TILE_ROWS];
    for (size_t r = 0; r < end - o; r++) rows[r] = (o + r) * filter;
    rk_tile tile = {
        .rows = end - o,
        .columns = t->columns,
        .stretches = t->runs,
        .stretch_count = t->run_count,
        .a = t->grad_output + o,
        .a_stride = (ptrdiff_t)s->out_channels,
        .b = t->packed,
        .b_stride = RK_PANEL,
        .c = t->grad_weight + t->tap * s->in_channels + t->channel,
        .c_rows = rows,
        .accumulate = t->accumulate,
    };
    t->kernels->by_columns(&tile);
  }
  t->accumulate = true;
  t->run_count = 0;
  t->rows = 0;
}

// Adds `count` output rows from `row` on to the block; output position k meets input row input_row + k * stride.
static void add_run(task *t, size_t row, size_t count, size_t input_row, size_t stride) {
  const rk_conv2d *s = t->shape;
  size_t n = 0, position = 0;
  while (count > 0) {
    if (t->rows == BLOCK_ROWS || t->run_count == BLOCK_RUNS) flush_block(t);
    size_t length = minimum(count, BLOCK_ROWS - t->rows);
    t->runs[t->run_count++] = (rk_stretch){(ptrdiff_t)(row * s->out_channels), (ptrdiff_t)(t->rows * RK_PANEL), length};
    row += length;
    count -= length;
    while (length > 0) {
      size_t piece = stride == 1 ? length : minimum(length, s->batch - n);
      const float *x = t->input + (input_row + position * stride * s->batch + n) * s->in_channels + t->channel;
      t->kernels->copy(x, s->in_channels, t->columns, piece, t->packed + t->rows * RK_PANEL);
      t->rows += piece;
      length -= piece;
      n += piece;
      if (stride != 1 && n == s->batch) {
        n = 0;
        position++;
      }
    }
  }
}

static void accumulate_unit(task *t) {
  const rk_conv2d *s = t->shape;
  size_t kh = t->tap / s->kernel_width, kw = t->tap % s->kernel_width;
  rk_axis height = rk_height_axis(s, false), width = rk_width_axis(s, false);
  size_t top, bottom, left, right;
  rk_tap_range(&height, kh, &top, &bottom);
  rk_tap_range(&width, kw, &left, &right);
  for (size_t oh = top; oh < bottom && left < right; oh++) {
    size_t h = oh * s->stride_height + kh - s->padding_height, w = left * s->stride_width + kw - s->padding_width;
    add_run(t, (oh * s->out_width + left) * s->batch, (right - left) * s->batch, (h * s->width + w) * s->batch,
            s->stride_width);
  }
  // Without rows, nothing but zeros is written.
  if (t->rows > 0 || !t->accumulate) flush_block(t);
}

void rk_conv2d_backward_weight(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                               float *grad_weight, size_t task_number) {
  partition part = partition_of(shape);
  size_t unit_group = task_number / part.tile_groups, tile_group = task_number % part.tile_groups;
  task t;
  t.shape = shape;
  t.kernels = rk_microkernels_current();
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.tile = part.tiles * tile_group / part.tile_groups;
  t.tile_end = part.tiles * (tile_group + 1) / part.tile_groups;
  t.run_count = 0;
  t.rows = 0;
  size_t end = part.units * (unit_group + 1) / part.unit_groups;
  for (size_t unit = part.units * unit_group / part.unit_groups; unit < end; unit++) {
    t.tap = unit / part.panels;
    t.channel = unit % part.panels * RK_PANEL;
    t.columns = minimum(shape->in_channels - t.channel, RK_PANEL);
    t.accumulate = accumulate;
    accumulate_unit(&t);
  }
}
