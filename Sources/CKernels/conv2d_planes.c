// Vectors along a few channels would be empty for the most part. Here the product is transposed: result rows lie side
// by side in vectors, and the weight, in place, is the other operand. The output gradient is copied channel by channel
// for that ("planes"), as much of it at a time as a piece of the result needs.
#include "conv2d_planes.h"

#include <string.h>

#include "arithmetic.h"
#include "conv2d_choices.h"
#include "conv2d_rectangle.h"
#include "elementwise.h"
#include "layout.h"
#include "microkernel.h"
#include "scratch.h"

enum {
  MOST_CHANNELS = 4,
  MOST_TAPS = 128,
  // A piece has so many rows, and so many positions that what its taps reach beyond it is little.
  PIECE_ROWS = 128,
  PIECE_POSITIONS = 8,
  // Planes that stay in the cache.
  PLANE_FLOATS = 64 * 1024,
  TASK_WORK = 1 << 20,
  MOST_TASKS = 16,
};

bool rk_planes_gradient_pays(const rk_conv2d *s) {
  return s->in_channels <= MOST_CHANNELS && s->width * s->batch >= RK_WHOLE_COLUMNS &&
         rk_tap_count(s) <= MOST_TAPS;
}

// Neighbouring positions of one line of a rectangle, with all images.
typedef struct {
  const rk_rectangle *rectangle;
  size_t line, position, positions;
} piece;

static size_t pieces_of_line(const rk_product *p, const rk_rectangle *r) {
  return divide_up(r->width.count, maximum(PIECE_ROWS / p->batch, PIECE_POSITIONS));
}

static size_t pieces_of(const rk_product *p, const rk_rectangle *r) { return r->height.count * pieces_of_line(p, r); }

static piece piece_of(const rk_product *p, const rk_rectangle *r, size_t number) {
  size_t pieces = pieces_of_line(p, r), part = number % pieces, first = r->width.count * part / pieces;
  return (piece){r, number / pieces, first, r->width.count * (part + 1) / pieces - first};
}

size_t rk_planes_gradient_tasks(const rk_conv2d *s) {
  size_t tasks = rk_output_rows(s) * rk_weight_count(s) / TASK_WORK;
  return minimum(maximum(tasks, 1), minimum(s->height, MOST_TASKS));
}

typedef struct {
  const rk_product *product;
  const float *source, *weight;
  float *result;
  bool accumulate;
} task;

// The planes of some channels: for every line of taps the source rows that the piece meets, `length` of them.
typedef struct {
  size_t channel, channels, length;
  float *floats;
} planes;

// Rows that the taps of a line reach back from a result row's own.
static size_t reach_of(const rk_product *p, const rk_rectangle *r) { return (r->width.taps - 1) * p->batch; }

static void fill_planes(const task *t, const piece *piece, const planes *planes) {
  const rk_product *p = t->product;
  const rk_span *height = &piece->rectangle->height, *width = &piece->rectangle->width;
  size_t reach = reach_of(p, piece->rectangle);
  for (size_t i = 0; i < height->taps; i++) {
    size_t line = (size_t)height->source + piece->line - i;
    size_t row = (line * p->width.source + (size_t)width->source + piece->position) * p->batch - reach;
    rk_transpose(t->source + row * p->depth + planes->channel, p->depth, planes->length, planes->channels,
                 planes->floats + i * planes->channels * planes->length, planes->length);
  }
}

static size_t fill_stretches(const task *t, const piece *piece, const planes *planes, rk_stretch *stretches) {
  const rk_product *p = t->product;
  const rk_span *height = &piece->rectangle->height, *width = &piece->rectangle->width;
  size_t reach = reach_of(p, piece->rectangle), count = 0;
  for (size_t i = 0; i < height->taps; i++) {
    for (size_t j = 0; j < width->taps; j++) {
      size_t tap = (height->tap + i * height->tap_step) * p->width.kernel + width->tap + j * width->tap_step;
      stretches[count++] = (rk_stretch){
          .a = (ptrdiff_t)((tap * p->depth + planes->channel) * p->columns),
          .b = (ptrdiff_t)(i * planes->channels * planes->length + reach - j * p->batch),
          .depth = planes->channels,
      };
    }
  }
  return count;
}

// Adds the products of some channels to the sums, which are planes of `stride` floats; the first ones begin them.
static void multiply(const task *t, const piece *piece, const planes *planes, size_t rows, float *sums, size_t stride) {
  rk_stretch stretches[MOST_TAPS];
  size_t count = fill_stretches(t, piece, planes, stretches), c_rows[MOST_CHANNELS];
  for (size_t c = 0; c < MOST_CHANNELS; c++) c_rows[c] = c * stride;
  for (size_t row = 0; row < rows; row += RK_TILE_COLUMNS) {
    rk_tile tile = {
        .rows = t->product->columns,
        .columns = minimum(rows - row, RK_TILE_COLUMNS),
        .stretches = stretches,
        .stretch_count = count,
        .a = t->weight,
        .a_stride = (ptrdiff_t)t->product->columns,
        .b = planes->floats + row,
        .b_stride = (ptrdiff_t)planes->length,
        .b_panel = RK_PANEL,
        .c = sums + row,
        .c_rows = c_rows,
        .accumulate = planes->channel > 0,
    };
    rk_microkernels_current()->by_columns(&tile);
  }
}

// Writes the sums of neighbouring rows, channel beside channel. `spare` has room for them.
static void store_rows(const task *t, const float *sums, size_t stride, size_t count, float *spare, float *out) {
  size_t channels = t->product->columns;
  rk_transpose(sums, stride, channels, count, t->accumulate ? spare : out, channels);
  if (t->accumulate) rk_add(out, spare, count * channels, out);
}

static void store(const task *t, const piece *piece, size_t rows, const float *sums, size_t stride, float *spare) {
  const rk_product *p = t->product;
  const rk_span *height = &piece->rectangle->height, *width = &piece->rectangle->width;
  size_t line = (height->result + piece->line * height->result_step) * p->width.result + width->result;
  // Positions that lie beside each other are stored as one.
  size_t count = width->result_step == 1 ? rows : p->batch;
  for (size_t row = 0; row < rows; row += count) {
    size_t position = line + (piece->position + row / p->batch) * width->result_step;
    store_rows(t, sums + row, stride, count, spare, t->result + position * p->batch * p->columns);
  }
}

static void run_piece(const task *t, const piece *piece) {
  const rk_product *p = t->product;
  const rk_rectangle *r = piece->rectangle;
  size_t rows = piece->positions * p->batch, stride = divide_up(rows, RK_WHOLE_COLUMNS) * RK_WHOLE_COLUMNS;
  bool met = r->taps > 0;
  size_t length = met ? rows + reach_of(p, r) : 0, plane_floats = maximum(r->height.taps * length, 1);
  size_t at_once = minimum(maximum(PLANE_FLOATS / plane_floats, 1), p->depth);
  size_t blocks = met ? divide_up(p->depth, at_once) : 0;
  // What the last vector of the last plane reads beyond it.
  size_t sum_floats = p->columns * stride, room = 2 * sum_floats + plane_floats * at_once + RK_WHOLE_COLUMNS;
  float *sums = rk_scratch(room * sizeof(float)), *spare = sums + sum_floats;
  if (!met) memset(sums, 0, sum_floats * sizeof(float));
  for (size_t number = 0; number < blocks; number++) {
    size_t channel = p->depth * number / blocks, end = p->depth * (number + 1) / blocks;
    planes planes = {channel, end - channel, length, spare + sum_floats};
    fill_planes(t, piece, &planes);
    multiply(t, piece, &planes, rows, sums, stride);
  }
  store(t, piece, rows, sums, stride, spare);
}

void rk_planes_gradient_run(const rk_conv2d *shape, const float *grad_output, const float *weight, bool accumulate,
                            float *grad_input, size_t number) {
  rk_product product = rk_product_of(shape, true);
  task t = {&product, grad_output, weight, grad_input, accumulate};
  size_t tasks = rk_planes_gradient_tasks(shape), before = 0;
  for (rk_rectangle r = {0}; rk_next_rectangle(&product, &r); before += pieces_of(&product, &r)) {
    for (size_t k = 0; k < pieces_of(&product, &r); k++) {
      if ((before + k) % tasks != number) continue;
      piece piece = piece_of(&product, &r, k);
      run_piece(&t, &piece);
    }
  }
}
