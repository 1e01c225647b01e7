// The weight gradient with bfloat16 operands: as in conv2d_weight.c, but the sum runs over pairs of rows, which lie
// apart in memory. Both operands are packed, block by block, as interleaved rows.
#include <string.h>

#include "conv2d_bf16.h"
#include "conv2d_windows.h"
#include "cpu.h"
#include "microkernel_bf16.h"

enum {
  // A run of an odd number of rows ends in half a pair, so a block may hold as many pairs as rows.
  BLOCK_ROWS = 256,
  MOST_TILES = 19,
  MOST_CHANNELS = MOST_TILES * RK_TILE_ROWS,
  TASK_WORK = 1 << 22,
  MOST_TASKS = 16,
};

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static size_t maximum(size_t a, size_t b) { return a > b ? a : b; }
static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

// `units` are a tap and a panel of input channels, `tiles` at most 14 output channels; a task is one group of either.
typedef struct {
  size_t panels, units, tiles, unit_groups, tile_groups;
} partition;

static partition partition_of(const rk_conv2d *s) {
  partition part = {.tiles = divide_up(s->out_channels, RK_TILE_ROWS)};
  part.panels = divide_up(s->in_channels, RK_PANEL);
  part.units = part.panels * s->kernel_height * s->kernel_width;
  size_t work = s->out_height * s->out_width * s->batch * part.units * RK_PANEL * s->out_channels;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.tile_groups = divide_up(part.tiles, MOST_TILES);
  part.unit_groups = minimum(divide_up(tasks, part.tile_groups), part.units);
  return part;
}

size_t rk_conv2d_bf16_backward_weight_tasks(const rk_conv2d *shape) {
  partition part = partition_of(shape);
  return part.unit_groups * part.tile_groups;
}

typedef struct {
  const rk_conv2d *shape;
  const rk_microkernels *kernels;
  const uint16_t *input, *grad_output;
  float *grad_weight;
  size_t tile_count, tile, tile_end;
  bool accumulate;
  // The block at hand, of one tap.
  size_t row, row_end, run_count, pairs;
  rk_run runs[BLOCK_ROWS];
  uint16_t a[BLOCK_ROWS * MOST_CHANNELS * 2];
  _Alignas(64) uint16_t b[BLOCK_ROWS * RK_PANEL * 2];
} task;

static size_t tile_channel(const task *t, size_t tile) { return t->shape->out_channels * tile / t->tile_count; }

// Interleaves rows of `channels` values, `stride` apart, two by two: `width` pairs a row, padded with zeros.
static uint16_t *interleave(const uint16_t *x, size_t stride, size_t rows, size_t channels, size_t width,
                            uint16_t *out) {
  for (size_t k = 0; k < rows; k += 2, x += 2 * stride, out += 2 * width) {
    if (k + 1 < rows) {
      for (size_t c = 0; c < channels; c++) {
        out[2 * c] = x[c];
        out[2 * c + 1] = x[stride + c];
      }
    } else {
      for (size_t c = 0; c < channels; c++) {
        out[2 * c] = x[c];
        out[2 * c + 1] = 0;
      }
    }
    memset(out + 2 * channels, 0, (width - channels) * 2 * sizeof(uint16_t));
  }
  return out;
}

static void pack_tap(task *t, size_t tap) {
  const rk_conv2d *s = t->shape;
  size_t channel = tile_channel(t, t->tile), channels = tile_channel(t, t->tile_end) - channel;
  t->run_count = rk_find_runs(s, tap, t->row, t->row_end, t->runs);
  t->pairs = 0;
  uint16_t *out = t->a;
  for (size_t r = 0; r < t->run_count; r++) {
    out = interleave(t->grad_output + t->runs[r].output_row * s->out_channels + channel, s->out_channels,
                     t->runs[r].count, channels, channels, out);
    t->pairs += divide_up(t->runs[r].count, 2);
  }
}

static void multiply_unit(task *t, size_t tap, size_t channel) {
  const rk_conv2d *s = t->shape;
  size_t columns = minimum(s->in_channels - channel, RK_PANEL);
  uint16_t *out = t->b;
  for (size_t r = 0; r < t->run_count; r++) {
    out = interleave(t->input + t->runs[r].input_row * s->in_channels + channel, s->in_channels, t->runs[r].count,
                     columns, RK_PANEL, out);
  }
  size_t first = tile_channel(t, t->tile), width = tile_channel(t, t->tile_end) - first;
  const rk_stretch stretch = {0, 0, t->pairs};
  for (size_t k = t->tile; k < t->tile_end; k++) {
    size_t o = tile_channel(t, k), rows = tile_channel(t, k + 1) - o, c_rows[RK_TILE_ROWS];
    for (size_t r = 0; r < rows; r++) c_rows[r] = r * s->in_channels;
    rk_tile tile = {
        .rows = rows,
        .columns = columns,
        .stretches = &stretch,
        .stretch_count = 1,
        .a = (const float *)t->a + (o - first),
        .a_stride = (ptrdiff_t)width,
        .b = (const float *)t->b,
        .b_stride = RK_PANEL,
        .c = t->grad_weight + (tap * s->out_channels + o) * s->in_channels + channel,
        .c_rows = c_rows,
        .accumulate = t->accumulate || t->row > 0,
    };
    t->kernels->by_columns(&tile);
  }
}

void rk_conv2d_bf16_backward_weight(const rk_conv2d *shape, const uint16_t *input, const uint16_t *grad_output,
                                    bool accumulate, float *grad_weight, size_t task_number) {
  partition part = partition_of(shape);
  size_t unit_group = task_number / part.tile_groups, tile_group = task_number % part.tile_groups;
  size_t first = part.units * unit_group / part.unit_groups, end = part.units * (unit_group + 1) / part.unit_groups;
  task t;
  t.shape = shape;
  t.kernels = rk_microkernels_bf16_current();
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.tile = part.tiles * tile_group / part.tile_groups;
  t.tile_end = part.tiles * (tile_group + 1) / part.tile_groups;
  t.accumulate = accumulate;
  uint64_t state = rk_denormals_flush(true);
  size_t rows = shape->out_height * shape->out_width * shape->batch;
  for (t.row = 0; t.row < rows; t.row = t.row_end) {
    t.row_end = minimum(t.row + BLOCK_ROWS, rows);
    for (size_t unit = first; unit < end; unit++) {
      if (unit == first || unit % part.panels == 0) pack_tap(&t, unit / part.panels);
      // The first block also writes the zeros of taps that have not met data.
      if (t.pairs > 0 || (t.row == 0 && !accumulate)) {
        multiply_unit(&t, unit / part.panels, unit % part.panels * RK_PANEL);
      }
    }
  }
  rk_denormals_restore(state);
}
