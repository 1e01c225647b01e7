// The weight gradient with bfloat16 operands: as in conv2d_weight.c, but the sum runs over pairs of rows, which lie
// apart in memory. Both operands are packed, block by block, as interleaved rows; where the microkernel can't walk columns
// of A, the output gradient is transposed, so that a row is a channel.
#include <string.h>

#include "conv2d_bf16.h"
#include "arithmetic.h"
#include "conv2d_choices.h"
#include "conv2d_windows.h"
#include "dispatch.h"
#include "microkernel_bf16.h"
#include "scratch.h"

enum {
  // An odd row at the end of a run is half a pair, so a block may hold as many pairs as rows.
  BLOCK_ROWS = 256,
  CHUNK = RK_PANEL,  // pairs that are transposed together
  MOST_CHANNELS = 256,
  // Rows of A lie this far from a power of two apart, or they would fall into few sets of the cache.
  ROW_PADDING = 16,
  A_FLOATS = BLOCK_ROWS * (MOST_CHANNELS + ROW_PADDING),
  TASK_WORK = 1 << 22,
  // Each packs its share of the output gradient anew; half of the threads compute weight gradients.
  MOST_TASKS = 8,
};

// `units` are a tap that meets data and as many input channels as a tile has columns, `tiles` the output channels of a
// tile's rows; a task is one group of either.
typedef struct {
  size_t unit_columns, units_per_tap, units, tiles, unit_groups, tile_groups;
} partition;

static partition partition_of(const rk_conv2d *s, const rk_bf16_microkernels *kernels) {
  partition part = {.unit_columns = kernels->tile_panels * RK_PANEL};
  part.tiles = divide_up(s->out_channels, kernels->tile_rows);
  part.units_per_tap = divide_up(s->in_channels, part.unit_columns);
  part.units = part.units_per_tap * rk_met_tap_count(s);
  size_t work = rk_output_rows(s) * part.units * part.unit_columns * s->out_channels;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.tile_groups = divide_up(part.tiles, MOST_CHANNELS / kernels->tile_rows);
  part.unit_groups = minimum(divide_up(tasks, part.tile_groups), part.units);
  return part;
}

size_t rk_conv2d_bf16_backward_weight_tasks(const rk_conv2d *shape) {
  if (rk_met_tap_count(shape) == 0) return 0;
  partition part = partition_of(shape, rk_bf16_microkernels_current());
  return part.unit_groups * part.tile_groups;
}

// Two output rows that meet the same tap, one after the other, or one alone.
typedef struct {
  size_t output_row, input_row;
  bool single;
} row_pair;

typedef struct {
  const rk_conv2d *shape;
  const rk_bf16_microkernels *kernels;
  const uint16_t *input, *grad_output;
  float *grad_weight;
  size_t tile_count, tile, tile_end, unit_columns;
  bool accumulate;
  // The block at hand, of one tap.
  size_t row, row_end, pair_count;
  row_pair pairs[BLOCK_ROWS];
  float *a;  // [pairs][a_stride], or chunks of [channels][CHUNK] pairs
  size_t a_stride;
  float *b;  // [pairs][unit_columns]
} task;

static size_t tile_channel(const task *t, size_t tile) { return t->shape->out_channels * tile / t->tile_count; }

// Interleaves the two rows of each pair (the second zero if it is alone): out[k * width + c] holds channel c of both, and
// zero from channel `count` on.
RK_LOOP void interleave(const uint16_t *x, size_t channels, const row_pair *pairs, size_t pair_count, size_t count,
                        size_t width, bool of_output, uint32_t *out) {
  for (size_t k = 0; k < pair_count; k++, out += width) {
    const uint16_t *first = x + (of_output ? pairs[k].output_row : pairs[k].input_row) * channels;
    const uint16_t *second = pairs[k].single ? first : first + channels;
    uint32_t kept = pairs[k].single ? 0x0000ffff : 0xffffffff;
    RK_INDEPENDENT
    for (size_t c = 0; c < count; c++) out[c] = (first[c] | (uint32_t)second[c] << 16) & kept;
    for (size_t c = count; c < width; c++) out[c] = 0;
  }
}

void rk_interleave(const uint16_t *x, size_t channels, const row_pair *pairs, size_t pair_count, size_t count,
                   size_t width, bool of_output, uint32_t *out);
RK_DISPATCH(void, rk_interleave, interleave,
            (const uint16_t *x, size_t channels, const row_pair *pairs, size_t pair_count, size_t count, size_t width,
             bool of_output, uint32_t *out),
            (x, channels, pairs, pair_count, count, width, of_output, out))

static void find_pairs(task *t, size_t tap) {
  rk_run runs[BLOCK_ROWS];
  size_t run_count = rk_find_runs(t->shape, tap, t->row, t->row_end, runs);
  t->pair_count = 0;
  for (size_t r = 0; r < run_count; r++) {
    for (size_t k = 0; k < runs[r].count; k += 2) {
      t->pairs[t->pair_count++] = (row_pair){runs[r].output_row + k, runs[r].input_row + k, k + 1 == runs[r].count};
    }
  }
}

static void pack_output_gradient(task *t) {
  size_t channels = t->shape->out_channels, first = tile_channel(t, t->tile);
  size_t width = tile_channel(t, t->tile_end) - first;
  const uint16_t *x = t->grad_output + first;
  if (t->kernels->by_columns != NULL) {
    t->a_stride = width + ROW_PADDING;
    rk_interleave(x, channels, t->pairs, t->pair_count, width, t->a_stride, true, (uint32_t *)t->a);
    return;
  }
  t->a_stride = CHUNK;
  for (size_t pair = 0; pair < t->pair_count; pair += CHUNK) {
    _Alignas(64) float rows[CHUNK * MOST_CHANNELS];
    size_t count = minimum(t->pair_count - pair, CHUNK);
    rk_interleave(x, channels, t->pairs + pair, count, width, width, true, (uint32_t *)rows);
    rk_microkernels_current()->transpose(rows, width, count, width, t->a + pair * width);
  }
}

static size_t padded_pairs(const task *t, size_t pairs) {
  return divide_up(pairs, t->kernels->depth_multiple) * t->kernels->depth_multiple;
}

static void pack_input(task *t, size_t channel, size_t columns) {
  rk_interleave(t->input + channel, t->shape->in_channels, t->pairs, t->pair_count, columns, t->unit_columns, false,
                (uint32_t *)t->b);
  size_t padding = padded_pairs(t, t->pair_count) - t->pair_count;
  memset(t->b + t->pair_count * t->unit_columns, 0, padding * t->unit_columns * sizeof(float));
}

// The stretches of the block's sum: one, or one for each chunk of a transposed A, `width` channels high.
static size_t find_stretches(const task *t, size_t width, rk_stretch *stretches) {
  if (t->kernels->by_columns != NULL) {
    stretches[0] = (rk_stretch){0, 0, t->pair_count};
    return t->pair_count > 0;
  }
  size_t count = 0;
  for (size_t pair = 0; pair < t->pair_count; pair += CHUNK) {
    size_t depth = padded_pairs(t, minimum(t->pair_count - pair, CHUNK));
    stretches[count++] = (rk_stretch){(ptrdiff_t)(pair * width), (ptrdiff_t)(pair * t->unit_columns), depth};
  }
  return count;
}

static void multiply_unit(task *t, size_t tap, size_t channel) {
  const rk_conv2d *s = t->shape;
  size_t columns = minimum(s->in_channels - channel, t->unit_columns);
  size_t first = tile_channel(t, t->tile), width = tile_channel(t, t->tile_end) - first;
  pack_input(t, channel, columns);
  rk_stretch stretches[BLOCK_ROWS / CHUNK];
  size_t stretch_count = find_stretches(t, width, stretches);
  rk_microkernel *by_columns = t->kernels->by_columns;
  for (size_t k = t->tile; k < t->tile_end; k++) {
    size_t o = tile_channel(t, k), rows = tile_channel(t, k + 1) - o, c_rows[RK_BF16_MOST_ROWS];
    for (size_t r = 0; r < rows; r++) c_rows[r] = r * s->in_channels;
    rk_tile tile = {
        .rows = rows,
        .columns = columns,
        .stretches = stretches,
        .stretch_count = stretch_count,
        .a = t->a + (o - first) * (by_columns != NULL ? 1 : CHUNK),
        .a_stride = (ptrdiff_t)t->a_stride,
        .b = t->b,
        .b_stride = (ptrdiff_t)t->unit_columns,
        .b_panel = RK_PANEL,
        .c = t->grad_weight + (tap * s->out_channels + o) * s->in_channels + channel,
        .c_rows = c_rows,
        .accumulate = t->accumulate || t->row > 0,
    };
    (by_columns != NULL ? by_columns : t->kernels->by_rows)(&tile);
  }
}

void rk_conv2d_bf16_backward_weight(const rk_conv2d *shape, const uint16_t *input, const uint16_t *grad_output,
                                    bool accumulate, float *grad_weight, size_t task_number) {
  const rk_bf16_microkernels *kernels = rk_bf16_microkernels_current();
  partition part = partition_of(shape, kernels);
  size_t unit_group = task_number / part.tile_groups, tile_group = task_number % part.tile_groups;
  size_t first = part.units * unit_group / part.unit_groups, end = part.units * (unit_group + 1) / part.unit_groups;
  task t;
  t.a = rk_scratch((A_FLOATS + BLOCK_ROWS * RK_BF16_MOST_COLUMNS) * sizeof(float));
  t.b = t.a + A_FLOATS;
  t.shape = shape;
  t.kernels = kernels;
  t.unit_columns = part.unit_columns;
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.tile = part.tiles * tile_group / part.tile_groups;
  t.tile_end = part.tiles * (tile_group + 1) / part.tile_groups;
  t.accumulate = accumulate;
  size_t rows = rk_output_rows(shape);
  uint64_t state = rk_denormals_flush(true);
  for (t.row = 0; t.row < rows; t.row = t.row_end) {
    t.row_end = minimum(t.row + BLOCK_ROWS, rows);
    for (size_t unit = first; unit < end; unit++) {
      size_t tap = rk_met_tap(shape, unit / part.units_per_tap);
      if (unit == first || unit % part.units_per_tap == 0) {
        find_pairs(&t, tap);
        pack_output_gradient(&t);
      }
      // The first block also writes the zeros of a tap that meets data in later ones.
      if (t.pair_count > 0 || (t.row == 0 && !accumulate)) {
        multiply_unit(&t, tap, unit % part.units_per_tap * part.unit_columns);
      }
    }
  }
  rk_bf16_end();
  rk_denormals_restore(state);
}
