// Where a weight has many more elements than the input has rows, packing it is most of what a product costs beside its
// multiplications. Here the product is transposed: output channels are the tiles' rows and output rows their columns, so
// that the weight is read in place, once and in order, and the input is packed. Blocks of the result are turned around
// on their way to the output.
#include "conv2d_transposed.h"

#include <string.h>

#include "arithmetic.h"
#include "conv2d_choices.h"
#include "conv2d_windows.h"
#include "scratch.h"

// Output channels of a unit, of which a task has one or more.
enum { MOST_TAPS = 64, PACKED_DEPTH = 256, UNIT_CHANNELS = RK_PANEL };

// The first of the input rows that a tap meets, which meets all output rows: the others follow it.
static size_t first_input_row(const rk_conv2d *s, size_t tap) {
  rk_run run = {0};
  rk_find_runs(s, tap, 0, 1, &run);
  return run.input_row;
}

static bool rows_are_in_order(const rk_conv2d *s) {
  bool one_position = s->out_height == 1 && s->out_width == 1;
  return rk_tap_count(s) <= MOST_TAPS && (one_position || rk_meets_rows_in_order(s));
}

bool rk_conv2d_forward_can_be_transposed(const rk_conv2d *s) {
  return rows_are_in_order(s) || rk_transposed_winograd_possible(s);
}

bool rk_conv2d_forward_prefers_transposed(const rk_conv2d *s) {
  enum { FEWEST_WEIGHTS = 1 << 18 };
  if (!rk_conv2d_forward_can_be_transposed(s)) return false;
  // Packing and turning around as many floats as there are weights costs what packing these does.
  size_t weights = rk_met_tap_count(s) * s->in_channels * s->out_channels;
  size_t moved = rk_conv2d_packed_rows_count(s) + rk_output_rows(s) * s->out_channels;
  return weights >= FEWEST_WEIGHTS && moved <= weights;
}

// Packed rows: for each panel of output rows and each tap that meets data, [in_channels][32].

static size_t matrix_count(const rk_conv2d *s) {
  return divide_up(rk_output_rows(s), RK_PANEL) * rk_met_tap_count(s);
}

size_t rk_conv2d_packed_rows_count(const rk_conv2d *s) {
  if (rk_transposed_winograd_possible(s)) return rk_transposed_winograd_packed_count(s);
  return matrix_count(s) * s->in_channels * RK_PANEL;
}

size_t rk_conv2d_pack_rows_tasks(const rk_conv2d *s) {
  if (rk_transposed_winograd_possible(s)) return rk_transposed_winograd_pack_tasks(s);
  return minimum(matrix_count(s) * divide_up(s->in_channels, PACKED_DEPTH), RK_TRANSPOSED_TASKS);
}

void rk_conv2d_pack_rows(const rk_conv2d *s, const float *input, float *packed, size_t task) {
  if (rk_transposed_winograd_possible(s)) return rk_transposed_winograd_pack(s, input, packed, task);
  size_t taps = rk_met_tap_count(s), rows = rk_output_rows(s), depth = s->in_channels;
  size_t pieces = divide_up(depth, PACKED_DEPTH);
  size_t all = matrix_count(s) * pieces, tasks = rk_conv2d_pack_rows_tasks(s);
  for (size_t n = all * task / tasks; n < all * (task + 1) / tasks; n++) {
    size_t matrix = n / pieces, row = matrix / taps * RK_PANEL, channel = n % pieces * PACKED_DEPTH;
    size_t input_row = first_input_row(s, rk_met_tap(s, matrix % taps)) + row;
    rk_microkernels_current()->transpose(input + input_row * depth + channel, depth, minimum(rows - row, RK_PANEL),
                                         minimum(depth - channel, PACKED_DEPTH),
                                         packed + (matrix * depth + channel) * RK_PANEL);
  }
}

// A panel of channels of the block, from its channel `c` on: turned[r * RK_PANEL + i] are its sums.
static void write_panel(const rk_conv2d *s, const rk_block *b, size_t c, const float *turned,
                        const rk_epilogue *epilogue, float *output) {
  const rk_epilogue none = {0}, *e = epilogue != NULL ? epilogue : &none;
  size_t channel = b->channel + c, first = b->row * s->out_channels + channel, c_rows[RK_TILE_COLUMNS];
  rk_tile tile = {
      .columns = minimum(b->channels - c, RK_PANEL),
      .c = output + first,
      .c_rows = c_rows,
      .scale = from_offset(e->scale, channel),
      .bias = from_offset(e->bias, channel),
      .residual = from_offset(e->residual, first),
      .relu = e->relu,
  };
  bool is_plain = e->scale == NULL && e->bias == NULL && e->residual == NULL && !e->relu;
  for (size_t r = 0; r < b->rows; r++) {
    c_rows[r] = r * s->out_channels;
    if (is_plain) {
      memcpy(tile.c + c_rows[r], turned + r * RK_PANEL, tile.columns * sizeof(float));
    } else {
      rk_store_row_portable(&tile, r, turned + r * RK_PANEL);
    }
  }
}

void rk_write_turned(const rk_conv2d *s, const rk_block *b, const float *sums, const rk_epilogue *epilogue,
                     float *output) {
  float turned[RK_TILE_COLUMNS * RK_PANEL];
  for (size_t c = 0; c < b->channels; c += RK_PANEL) {
    rk_microkernels_current()->transpose(sums + c * RK_TILE_COLUMNS, RK_TILE_COLUMNS,
                                         minimum(b->channels - c, RK_PANEL), b->rows, turned);
    write_panel(s, b, c, turned, epilogue, output);
  }
}

static size_t unit_count(const rk_conv2d *s) { return divide_up(s->out_channels, UNIT_CHANNELS); }

size_t rk_conv2d_forward_transposed_tasks(const rk_conv2d *s) {
  return minimum(unit_count(s), RK_TRANSPOSED_TASKS);
}

typedef struct {
  const rk_conv2d *shape;
  const float *packed, *weight;
  size_t panel_stride, stretch_count;
  rk_stretch stretches[MOST_TAPS];
  float *sums;
} task;

static void multiply_block(const task *t, const rk_block *b) {
  size_t c_rows[RK_TILE_ROWS], depth = t->shape->in_channels;
  for (size_t c = 0; c < b->channels; c += RK_TILE_ROWS) {
    rk_tile tile = {
        .rows = minimum(b->channels - c, RK_TILE_ROWS),
        .columns = b->rows,
        .stretches = t->stretches,
        .stretch_count = t->stretch_count,
        .a = t->weight + (b->channel + c) * depth,
        .a_stride = (ptrdiff_t)depth,
        .b = t->packed + b->row / RK_PANEL * t->panel_stride,
        .b_stride = RK_PANEL,
        .b_panel = (ptrdiff_t)t->panel_stride,
        .c = t->sums,
        .c_rows = c_rows,
        .fetches_rows = b->row == 0,
    };
    for (size_t r = 0; r < tile.rows; r++) c_rows[r] = (c + r) * RK_TILE_COLUMNS;
    rk_microkernels_current()->by_rows(&tile);
  }
}

void rk_conv2d_forward_transposed(const rk_conv2d *s, const float *packed, const float *weight,
                                  const rk_epilogue *epilogue, float *output, size_t number) {
  size_t units = unit_count(s), tasks = rk_conv2d_forward_transposed_tasks(s);
  size_t channel = units * number / tasks * UNIT_CHANNELS;
  size_t channel_end = minimum(units * (number + 1) / tasks * UNIT_CHANNELS, s->out_channels);
  if (rk_transposed_winograd_possible(s)) {
    return rk_transposed_winograd_run(s, packed, weight, epilogue, output, channel, channel_end);
  }
  size_t taps = rk_met_tap_count(s), depth = s->in_channels, rows = rk_output_rows(s);
  task t = {
      .shape = s,
      .packed = packed,
      .weight = weight,
      .panel_stride = taps * depth * RK_PANEL,
      .stretch_count = taps,
      .sums = rk_scratch(RK_BLOCK_CHANNELS * RK_TILE_COLUMNS * sizeof(float)),
  };
  for (size_t k = 0; k < taps; k++) {
    t.stretches[k] = (rk_stretch){
        .a = (ptrdiff_t)(rk_met_tap(s, k) * s->out_channels * depth),
        .b = (ptrdiff_t)(k * depth * RK_PANEL),
        .depth = depth,
    };
  }
  for (rk_block b = {.channel = channel}; b.channel < channel_end; b.channel += b.channels) {
    b.channels = minimum(channel_end - b.channel, RK_BLOCK_CHANNELS);
    for (b.row = 0; b.row < rows; b.row += b.rows) {
      b.rows = minimum(rows - b.row, RK_TILE_COLUMNS);
      multiply_block(&t, &b);
      rk_write_turned(s, &b, t.sums, epilogue, output);
    }
  }
}
