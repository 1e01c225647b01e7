// The weight gradient with bfloat16 operands: as in conv2d_weight.c, but the sum runs over pairs of rows, which lie
// apart in memory. Both operands are packed, block by block: the input as interleaved rows, the output gradient
// transposed, so that a row is a channel.
#include <stdatomic.h>
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
  MOST_TILES = 8,
  MOST_CHANNELS = MOST_TILES * RK_BF16_ROWS,
  TASK_WORK = 1 << 22,
  MOST_TASKS = 16,
};

// `units` are a tap and a panel of input channels, `tiles` at most 32 output channels; a task is one group of either.
typedef struct {
  size_t panels, units, tiles, unit_groups, tile_groups;
} partition;

static partition partition_of(const rk_conv2d *s) {
  partition part = {.tiles = divide_up(s->out_channels, RK_BF16_ROWS)};
  part.panels = divide_up(s->in_channels, RK_PANEL);
  part.units = part.panels * s->kernel_height * s->kernel_width;
  size_t work = rk_output_rows(s) * part.units * RK_PANEL * s->out_channels;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.tile_groups = divide_up(part.tiles, MOST_TILES);
  part.unit_groups = minimum(divide_up(tasks, part.tile_groups), part.units);
  return part;
}

size_t rk_conv2d_bf16_backward_weight_tasks(const rk_conv2d *shape) {
  partition part = partition_of(shape);
  return part.unit_groups * part.tile_groups;
}

// Two output rows that meet the same tap, one after the other, or one alone.
typedef struct {
  size_t output_row, input_row;
  bool single;
} row_pair;

typedef struct {
  const rk_conv2d *shape;
  rk_microkernel *by_rows;
  const uint16_t *input, *grad_output;
  float *grad_weight;
  size_t tile_count, tile, tile_end;
  bool accumulate, streamed;
  // The block at hand, of one tap.
  size_t row, row_end, pair_count;
  row_pair pairs[BLOCK_ROWS];
  float *a;  // chunks of [channels][CHUNK] pairs
  float *b;  // [pairs][RK_PANEL]
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
  for (size_t pair = 0; pair < t->pair_count; pair += CHUNK) {
    _Alignas(64) float rows[CHUNK * MOST_CHANNELS];
    size_t count = minimum(t->pair_count - pair, CHUNK);
    rk_interleave(t->grad_output + first, channels, t->pairs + pair, count, width, width, true, (uint32_t *)rows);
    rk_microkernels_current()->transpose(rows, width, count, width, t->a + pair * width);
  }
}

static void pack_input(task *t, size_t channel, size_t columns) {
  rk_interleave(t->input + channel, t->shape->in_channels, t->pairs, t->pair_count, columns, RK_PANEL, false,
                (uint32_t *)t->b);
  size_t padded = divide_up(t->pair_count, RK_BF16_GROUP) * RK_BF16_GROUP;
  memset(t->b + t->pair_count * RK_PANEL, 0, (padded - t->pair_count) * RK_PANEL * sizeof(float));
}

static void multiply_unit(task *t, size_t tap, size_t channel) {
  const rk_conv2d *s = t->shape;
  size_t columns = minimum(s->in_channels - channel, RK_PANEL);
  size_t first = tile_channel(t, t->tile), width = tile_channel(t, t->tile_end) - first;
  pack_input(t, channel, columns);
  rk_stretch stretches[BLOCK_ROWS / CHUNK];
  size_t stretch_count = 0;
  for (size_t pair = 0; pair < t->pair_count; pair += CHUNK) {
    size_t depth = divide_up(minimum(t->pair_count - pair, CHUNK), RK_BF16_GROUP) * RK_BF16_GROUP;
    stretches[stretch_count++] = (rk_stretch){(ptrdiff_t)(pair * width), (ptrdiff_t)(pair * RK_PANEL), depth};
  }
  for (size_t k = t->tile; k < t->tile_end; k++) {
    size_t o = tile_channel(t, k), rows = tile_channel(t, k + 1) - o, c_rows[RK_BF16_ROWS];
    for (size_t r = 0; r < rows; r++) c_rows[r] = r * s->in_channels;
    rk_tile tile = {
        .rows = rows,
        .columns = columns,
        .stretches = stretches,
        .stretch_count = stretch_count,
        .a = t->a + (o - first) * CHUNK,
        .a_stride = CHUNK,
        .b = t->b,
        .b_stride = RK_PANEL,
        .c = t->grad_weight + (tap * s->out_channels + o) * s->in_channels + channel,
        .c_rows = c_rows,
        .accumulate = t->accumulate || t->row > 0,
        .streamed = t->streamed,
    };
    t->by_rows(&tile);
  }
}

void rk_conv2d_bf16_backward_weight(const rk_conv2d *shape, const uint16_t *input, const uint16_t *grad_output,
                                    bool accumulate, float *grad_weight, size_t task_number) {
  partition part = partition_of(shape);
  size_t unit_group = task_number / part.tile_groups, tile_group = task_number % part.tile_groups;
  size_t first = part.units * unit_group / part.unit_groups, end = part.units * (unit_group + 1) / part.unit_groups;
  task t;
  t.a = rk_scratch(BLOCK_ROWS * (MOST_CHANNELS + RK_PANEL) * sizeof(float));
  t.b = t.a + BLOCK_ROWS * MOST_CHANNELS;
  t.shape = shape;
  t.by_rows = rk_bf16_by_rows_current();
  t.input = input;
  t.grad_output = grad_output;
  t.grad_weight = grad_weight;
  t.tile_count = part.tiles;
  t.tile = part.tiles * tile_group / part.tile_groups;
  t.tile_end = part.tiles * (tile_group + 1) / part.tile_groups;
  t.accumulate = accumulate;
  size_t rows = rk_output_rows(shape);
  t.streamed = rk_streams_gradient(shape, accumulate, BLOCK_ROWS);
  uint64_t state = rk_denormals_flush(true);
  for (t.row = 0; t.row < rows; t.row = t.row_end) {
    t.row_end = minimum(t.row + BLOCK_ROWS, rows);
    for (size_t unit = first; unit < end; unit++) {
      if (unit == first || unit % part.panels == 0) {
        find_pairs(&t, unit / part.panels);
        pack_output_gradient(&t);
      }
      // The first block also writes the zeros of taps that have not met data.
      if (t.pair_count > 0 || (t.row == 0 && !accumulate)) {
        multiply_unit(&t, unit / part.panels, unit % part.panels * RK_PANEL);
      }
    }
  }
  rk_bf16_end();
  if (t.streamed) atomic_thread_fence(memory_order_seq_cst);  // streamed results are seen by whoever sees the task done
  rk_denormals_restore(state);
}
