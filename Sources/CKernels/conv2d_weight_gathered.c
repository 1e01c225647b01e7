// A product of the rows of one side, transposed, and the windows of the other that belong to them: for each output row
// the window of the input that it is made of or, where that is less, for each input row the window of output gradients
// that it takes part in. Windows are gathered, padding included, a block of them at a time.
#include "conv2d_weight_gathered.h"

#include <string.h>

#include "conv2d_choices.h"
#include "conv2d_weight_partition.h"
#include "dispatch.h"
#include "microkernel.h"
#include "scratch.h"

enum { BLOCK_ROWS = 256 };

bool rk_gathered_weight_pays(const rk_conv2d *s) { return s->in_channels < RK_WHOLE_COLUMNS && rk_tap_count(s) > 1; }

// Positions, [height, width, batch, channels].
typedef struct {
  size_t height, width, channels;
} positions;

// The window of position (h, w) of `rows` begins at (h * stride - padding, w * stride - padding) of `windows`.
typedef struct {
  positions rows, windows;
  size_t stride_height, stride_width, padding_height, padding_width;
  bool of_output;  // the windows are those of the output gradient: the kernel turned around
} sides;

static sides sides_of(const rk_conv2d *s) {
  positions input = {s->height, s->width, s->in_channels}, output = {s->out_height, s->out_width, s->out_channels};
  bool of_output = s->stride_height == 1 && s->stride_width == 1 &&
                   s->height * s->width * s->out_channels < s->out_height * s->out_width * s->in_channels;
  if (!of_output) {
    return (sides){output, input, s->stride_height, s->stride_width, s->padding_height, s->padding_width, false};
  }
  // Where there is more padding than the kernel reaches, this wraps around to what is added.
  size_t padding_height = s->kernel_height - 1 - s->padding_height;
  size_t padding_width = s->kernel_width - 1 - s->padding_width;
  return (sides){input, output, 1, 1, padding_height, padding_width, true};
}

// Units are panels of columns.
static rk_weight_partition partition_of(const rk_conv2d *s, const sides *sides) {
  size_t panels = divide_up(rk_tap_count(s) * sides->windows.channels, RK_PANEL), channels = sides->rows.channels;
  size_t work = sides->rows.height * sides->rows.width * s->batch * panels * RK_PANEL * channels;
  return rk_cut_weight(panels, divide_up(channels, RK_TILE_ROWS), work);
}

size_t rk_gathered_weight_tasks(const rk_conv2d *shape) {
  sides sides = sides_of(shape);
  rk_weight_partition part = partition_of(shape, &sides);
  return rk_weight_tasks(&part);
}

typedef struct {
  const rk_conv2d *shape;
  const sides *sides;
  const float *rows, *windows;
  float *grad_weight, *gathered;
  size_t tile_count;
  rk_weight_share share;
  bool accumulate;
  size_t row, row_end;  // the block
  size_t stretch_count;
  rk_stretch stretches[BLOCK_ROWS];
} task;

// Neighbouring columns of a panel: channels of one tap, `offset` floats from where the window begins.
typedef struct {
  size_t kh, kw, offset, length;
} piece;

static size_t find_pieces(const task *t, size_t column, size_t columns, piece pieces[RK_PANEL]) {
  const positions *x = &t->sides->windows;
  size_t count = 0, channels = x->channels;
  for (size_t c = column, next; c < column + columns; c = next) {
    size_t tap = c / channels;
    next = minimum((tap + 1) * channels, column + columns);
    size_t kh = tap / t->shape->kernel_width, kw = tap % t->shape->kernel_width;
    pieces[count++] = (piece){kh, kw, (kh * x->width + kw) * t->shape->batch * channels + c % channels, next - c};
  }
  return count;
}

// Eight rows in one turn, spelt out: faster than what the compiler makes of one loop, asked to unroll it or not.
RK_LOOP void copy_pieces(const float *x, size_t stride, size_t length, size_t count, float *out) {
  enum { AT_ONCE = 8 };
  for (; count >= AT_ONCE; count -= AT_ONCE, x += AT_ONCE * stride, out += AT_ONCE * RK_PANEL) {
    for (size_t k = 0; k < AT_ONCE; k++) memcpy(out + k * RK_PANEL, x + k * stride, length * sizeof(float));
  }
  for (size_t k = 0; k < count; k++) memcpy(out + k * RK_PANEL, x + k * stride, length * sizeof(float));
}

static bool lies_inside(const task *t, size_t top, size_t left) {
  const positions *x = &t->sides->windows;
  return top < x->height && left < x->width && x->height - top >= t->shape->kernel_height &&
         x->width - left >= t->shape->kernel_width;
}

// What the window at `top` and `left` meets, for `count` images, zeros elsewhere; false if it meets nothing. Outside,
// positions wrap around to what is larger than any of them. `channels`: of the windows, or 0. What lies beyond the last
// column is multiplied too, and nobody looks at the sums.
RK_LOOP bool gather_pieces(const size_t channels, const task *t, size_t top, size_t left, size_t image, size_t count,
                           const piece *pieces, size_t piece_count, float *out) {
  const positions x = t->sides->windows;
  size_t first = ((top * x.width + left) * t->shape->batch + image) * x.channels;
  float *begin = out;
  bool inside = lies_inside(t, top, left), met = inside;
  for (const piece *p = pieces, *end = pieces + piece_count; p < end; out += p++->length) {
    if (!inside && (top + p->kh >= x.height || left + p->kw >= x.width)) continue;
    if (!met) memset(begin, 0, count * RK_PANEL * sizeof(float));
    met = true;
    const float *from = t->windows + (first + p->offset);
    if (p->length == channels) {
      copy_pieces(from, x.channels, channels, count, out);
    } else {
      copy_pieces(from, x.channels, p->length, count, out);
    }
  }
  return met;
}

// Pieces of up to four channels, as of images, are copied without a loop for each.
static bool gather_window(const task *t, size_t top, size_t left, size_t image, size_t count, const piece *pieces,
                          size_t piece_count, float *out) {
  switch (t->sides->windows.channels) {
  case 1:
    return gather_pieces(1, t, top, left, image, count, pieces, piece_count, out);
  case 2:
    return gather_pieces(2, t, top, left, image, count, pieces, piece_count, out);
  case 3:
    return gather_pieces(3, t, top, left, image, count, pieces, piece_count, out);
  case 4:
    return gather_pieces(4, t, top, left, image, count, pieces, piece_count, out);
  default:
    return gather_pieces(0, t, top, left, image, count, pieces, piece_count, out);
  }
}

static void add_stretch(task *t, size_t row, size_t gathered_row, size_t count) {
  ptrdiff_t channels = (ptrdiff_t)t->sides->rows.channels, a = (ptrdiff_t)row * channels;
  rk_stretch *last = &t->stretches[t->stretch_count];
  if (t->stretch_count > 0 && last[-1].a + (ptrdiff_t)last[-1].depth * channels == a) {
    last[-1].depth += count;
  } else {
    *last = (rk_stretch){a, (ptrdiff_t)(gathered_row * RK_PANEL), count};
    t->stretch_count++;
  }
}

// Gathers the block's columns from `column` on, without the rows that meet nothing.
static void gather(task *t, size_t column, size_t columns) {
  const sides *s = t->sides;
  piece pieces[RK_PANEL];
  size_t piece_count = find_pieces(t, column, columns, pieces), kept = 0, batch = t->shape->batch;
  size_t position = t->row / batch, image = t->row % batch;
  size_t h = position / s->rows.width, w = position % s->rows.width;
  t->stretch_count = 0;
  for (size_t row = t->row, count; row < t->row_end; row += count, image = 0) {
    count = minimum(batch - image, t->row_end - row);
    size_t top = h * s->stride_height - s->padding_height, left = w * s->stride_width - s->padding_width;
    if (gather_window(t, top, left, image, count, pieces, piece_count, t->gathered + kept * RK_PANEL)) {
      add_stretch(t, row, kept, count);
      kept += count;
    }
    if (++w == s->rows.width) {
      w = 0;
      h++;
    }
  }
}

static size_t tile_channel(const task *t, size_t tile) { return t->sides->rows.channels * tile / t->tile_count; }

// Adds a tile of columns from `column` on to the gradient, in which they lie apart.
static void scatter(const task *t, size_t k, size_t column, size_t columns, float (*tile)[RK_PANEL]) {
  const rk_conv2d *s = t->shape;
  bool of_output = t->sides->of_output, accumulate = t->accumulate || t->row > 0;
  size_t channels = t->sides->windows.channels, first = tile_channel(t, k), rows = tile_channel(t, k + 1) - first;
  size_t row_stride = of_output ? 1 : s->in_channels, channel_stride = of_output ? s->in_channels : 1;
  for (size_t c = 0; c < columns; c++) {
    size_t tap = (column + c) / channels, channel = (column + c) % channels;
    if (of_output) tap = rk_tap_count(s) - 1 - tap;
    float *gradient = t->grad_weight + tap * s->out_channels * s->in_channels + first * row_stride +
                      channel * channel_stride;
    for (size_t r = 0; r < rows; r++, gradient += row_stride) *gradient = tile[r][c] + (accumulate ? *gradient : 0);
  }
}

// The columns from `column` on of the block: taps, and in each the channels.
static void multiply(task *t, size_t column) {
  size_t columns = minimum(rk_tap_count(t->shape) * t->sides->windows.channels - column, RK_PANEL);
  gather(t, column, columns);
  size_t c_rows[RK_TILE_ROWS];
  for (size_t r = 0; r < RK_TILE_ROWS; r++) c_rows[r] = r * RK_PANEL;
  for (size_t k = t->share.tile; k < t->share.tile_end; k++) {
    float sums[RK_TILE_ROWS][RK_PANEL];
    rk_tile tile = {
        .rows = tile_channel(t, k + 1) - tile_channel(t, k),
        .columns = columns,
        .stretches = t->stretches,
        .stretch_count = t->stretch_count,
        .short_sums = true,  // rows are few, and none of them is padding that would not round
        .a = t->rows + tile_channel(t, k),
        .a_stride = (ptrdiff_t)t->sides->rows.channels,
        .b = t->gathered,
        .b_stride = RK_PANEL,
        .c = sums[0],
        .c_rows = c_rows,
    };
    rk_microkernels_current()->by_columns(&tile);
    scatter(t, k, column, columns, sums);
  }
}

void rk_gathered_weight_run(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                            float *grad_weight, size_t number) {
  sides sides = sides_of(shape);
  rk_weight_partition part = partition_of(shape, &sides);
  task t;
  t.shape = shape;
  t.sides = &sides;
  t.rows = sides.of_output ? input : grad_output;
  t.windows = sides.of_output ? grad_output : input;
  t.grad_weight = grad_weight;
  t.gathered = rk_scratch(BLOCK_ROWS * RK_PANEL * sizeof(float));
  t.tile_count = part.tiles;
  t.share = rk_weight_share_of(&part, number);
  t.accumulate = accumulate;
  size_t rows = sides.rows.height * sides.rows.width * shape->batch, blocks = divide_up(rows, BLOCK_ROWS);
  for (size_t block = 0; block < blocks; block++) {
    t.row = rows * block / blocks;
    t.row_end = rows * (block + 1) / blocks;
    for (size_t panel = t.share.unit; panel < t.share.unit_end; panel++) multiply(&t, panel * RK_PANEL);
  }
}
