#include "conv2d_winograd.h"

#include <string.h>

#include "arithmetic.h"
#include "fetch.h"
#include "microkernel.h"
#include "scratch.h"
#include "winograd_transforms.h"

enum {
  KERNEL = 3,
  TILE = RK_WINOGRAD_TILE,
  MOST_PRODUCTS = RK_WINOGRAD_MOST_PATCH,
  MOST_SIDE = RK_WINOGRAD_MOST_SIDE,
  // What a task holds: one row of transformed patches and all sums, of some rows of the products.
  SCRATCH_FLOATS = 160 * 1024,
  MOST_ROWS = 96,
  FEWEST_ROWS = 48,
  FEWEST_PARTS = 6,  // of RK_PART_ROWS rows in a block, or it spends its time on fetching weights
  // Arrays for the products begin in different sets of the cache.
  LINE = 64 / sizeof(float),
  PAGE = 4096 / sizeof(float),
  PADDING_FLOATS = MOST_SIDE * (PAGE + LINE) + MOST_PRODUCTS * LINE,
  // Kernels that are transformed at a time on the way to a panel, and how many kernels ahead they are fetched.
  PACKED_DEPTH = 32,
  AHEAD = 4,
  TASK_WORK = 1 << 20,
  ENOUGH_TASKS = 16,
};

rk_winograd_segment rk_winograd_segment_at(size_t width, size_t batch, size_t row, size_t row_end) {
  size_t tile = row / batch, image = row % batch, across = rk_winograd_tiles(width);
  return (rk_winograd_segment){
      tile / across * TILE, tile % across * TILE, image, minimum(batch - image, row_end - row)};
}

void rk_find_square(const rk_images *images, size_t top, size_t left, size_t side, size_t image, size_t channel,
                    const float **square) {
  for (size_t q = 0; q < side * side; q++) {
    size_t h = top + q / side, w = left + q % side;
    bool inside = h < images->height && w < images->width;
    size_t row = (h * images->width + w) * images->batch + image;
    square[q] = inside ? images->x + row * images->channels + channel : NULL;
  }
}

// Products along an axis by the definition.
static size_t met_taps(const rk_axis *axis) {
  size_t count = 0;
  for (rk_span span = {0}; rk_next_span(axis, &span);) count += span.count * span.taps;
  return count;
}

static const rk_winograd_transforms *transforms_of(const rk_axis *height, const rk_axis *width) {
  bool small = height->source == 2 && height->result == 2 && width->source == 2 && width->result == 2;
  return small ? &rk_winograd_2x2 : &rk_winograd_4x4;
}

const rk_winograd_transforms *rk_winograd_of(const rk_conv2d *s) {
  rk_axis height = rk_height_axis(s, false), width = rk_width_axis(s, false);
  return transforms_of(&height, &width);
}

bool rk_winograd_possible(const rk_conv2d *s) {
  // More channels leave no room in the scratch.
  enum { FEWEST_CHANNELS = 32, MOST_CHANNELS = 4096 };
  return s->kernel_height == KERNEL && s->kernel_width == KERNEL && s->stride_height == 1 && s->stride_width == 1 &&
         s->padding_height < KERNEL && s->padding_width < KERNEL && s->in_channels >= FEWEST_CHANNELS &&
         s->out_channels >= FEWEST_CHANNELS && s->in_channels <= MOST_CHANNELS && s->out_channels <= MOST_CHANNELS;
}

size_t rk_winograd_rows(const rk_conv2d *s) {
  return rk_winograd_tiles(s->out_height) * rk_winograd_tiles(s->out_width) * s->batch;
}

size_t rk_defined_products(const rk_conv2d *s) {
  rk_axis height = rk_height_axis(s, false), width = rk_width_axis(s, false);
  return met_taps(&height) * met_taps(&width) * s->batch;
}

bool rk_winograd_pays(const rk_conv2d *s) {
  // Transforming the weights costs as much as PACKING_ROWS more rows.
  enum { FEWEST_ROWS = 32, PACKING_ROWS = 16 };
  if (!rk_winograd_possible(s)) return false;
  size_t rows = rk_winograd_rows(s);
  return rows >= FEWEST_ROWS && rk_defined_products(s) * 3 > (rows + PACKING_ROWS) * rk_winograd_of(s)->products * 4;
}

size_t rk_winograd_packed_count(const rk_product *p) {
  size_t products = transforms_of(&p->height, &p->width)->products;
  return rk_product_panels(p) * products * p->depth * RK_PANEL;
}

// Packing: a piece is PACKED_DEPTH source channels of a panel.

static size_t pieces_of_panel(const rk_product *p) { return divide_up(p->depth, PACKED_DEPTH); }

size_t rk_winograd_pack_tasks(const rk_product *p) {
  return minimum(rk_product_panels(p) * pieces_of_panel(p), ENOUGH_TASKS);
}

static void find_taps(const rk_product *p, const float *weight, size_t at, const float *taps[RK_WINOGRAD_TAPS]) {
  for (size_t t = 0; t < RK_WINOGRAD_TAPS; t++) {
    // The input gradient is a convolution with the kernel turned around.
    size_t tap = p->height.gradient ? RK_WINOGRAD_TAPS - 1 - t : t;
    taps[t] = weight + tap * p->columns * p->depth + at;
  }
}

// The taps that find_taps will find at `at`, on their way to the cache: they come from nine places.
static void fetch_taps(const rk_product *p, const float *weight, size_t at, size_t count) {
  for (size_t t = 0; t < RK_WINOGRAD_TAPS; t++) rk_fetch(weight + t * p->columns * p->depth + at, count);
}

static void pack_piece(const rk_product *p, const float *weight, size_t panel, size_t channel, float *packed) {
  const rk_winograd_transforms *w = transforms_of(&p->height, &p->width);
  size_t products = w->products, column = panel * RK_PANEL, columns = minimum(p->columns - column, RK_PANEL);
  size_t depth = minimum(p->depth - channel, PACKED_DEPTH), stride = p->depth * RK_PANEL;
  float *out = packed + panel * products * stride + channel * RK_PANEL;
  const float *taps[RK_WINOGRAD_TAPS];
  if (p->height.gradient) {
    for (size_t k = 0; k < depth; k++, out += RK_PANEL) {
      fetch_taps(p, weight, (channel + k + AHEAD) * p->columns + column, columns);
      find_taps(p, weight, (channel + k) * p->columns + column, taps);
      w->transform_taps(taps, columns, out, stride);
      for (size_t q = 0; q < products && columns < RK_PANEL; q++) {
        memset(out + q * stride + columns, 0, (RK_PANEL - columns) * sizeof(float));
      }
    }
    return;
  }
  float transformed[MOST_PRODUCTS][RK_PANEL][PACKED_DEPTH];
  for (size_t c = 0; c < columns; c++) {
    fetch_taps(p, weight, (column + c + AHEAD) * p->depth + channel, depth);
    find_taps(p, weight, (column + c) * p->depth + channel, taps);
    w->transform_taps(taps, depth, transformed[0][c], RK_PANEL * PACKED_DEPTH);
  }
  for (size_t q = 0; q < products; q++) {
    rk_microkernels_current()->transpose(transformed[q][0], PACKED_DEPTH, columns, depth, out + q * stride);
  }
}

void rk_winograd_pack(const rk_product *p, const float *weight, float *packed, size_t task) {
  size_t pieces = pieces_of_panel(p), all = rk_product_panels(p) * pieces;
  size_t tasks = rk_winograd_pack_tasks(p);
  for (size_t n = all * task / tasks; n < all * (task + 1) / tasks; n++) {
    pack_piece(p, weight, n / pieces, n % pieces * PACKED_DEPTH, packed);
  }
}

// Running: rows are numbered by tile (height, width) and image; a block of them is transformed, multiplied and
// transformed back while it is in the cache. A task has some of the blocks and some units of columns.

// A part is RK_PART_ROWS rows.
typedef struct {
  size_t rows, parts, blocks, units, chunks, groups;
} partition;

// Parts of a block, where a task has `units` units of columns.
static size_t most_parts(const rk_product *p, size_t units) {
  const rk_winograd_transforms *w = transforms_of(&p->height, &p->width);
  size_t row_floats = w->side * p->depth + w->products * units * RK_TILE_COLUMNS;
  return minimum(SCRATCH_FLOATS / row_floats, MOST_ROWS) / RK_PART_ROWS;
}

// Every group of units transforms the patches for itself, every block goes through all weights of its group: groups are
// for few blocks.
static partition partition_of(const rk_product *p) {
  partition part = {.rows = rk_winograd_tiles(p->height.result) * rk_winograd_tiles(p->width.result) * p->batch};
  part.parts = divide_up(part.rows, RK_PART_ROWS);
  part.units = divide_up(p->columns, RK_TILE_COLUMNS);
  size_t work = part.rows * transforms_of(&p->height, &p->width)->products * p->depth * p->columns;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), ENOUGH_TASKS);
  size_t blocks_of_all = divide_up(part.parts, maximum(most_parts(p, part.units), 1));
  part.groups = minimum(divide_up(tasks, blocks_of_all), part.units);
  while (part.groups < part.units &&
         (part.units % part.groups != 0 || most_parts(p, part.units / part.groups) < FEWEST_PARTS)) {
    part.groups++;
  }
  part.blocks = divide_up(part.parts, most_parts(p, part.units / part.groups));
  part.blocks = maximum(part.blocks, minimum(divide_up(tasks, part.groups), part.rows / FEWEST_ROWS));
  part.chunks = minimum(part.blocks, divide_up(tasks, part.groups));
  return part;
}

static size_t block_start(const partition *part, size_t block) {
  return minimum(part->parts * block / part->blocks * RK_PART_ROWS, part->rows);
}

size_t rk_winograd_tasks(const rk_product *p) {
  partition part = partition_of(p);
  return part.chunks * part.groups;
}

typedef struct {
  const rk_product *product;
  const rk_winograd_transforms *transforms;
  const float *source, *packed;
  const rk_epilogue *epilogue;
  float *result;
  bool accumulate;
  size_t unit, unit_end;
  size_t row, row_end;                         // the block
  size_t patch_stride, sum_stride, sum_width;  // floats between the arrays of two products, and two rows of sums
  float *patches, *sums;  // [side][rows][depth] and [side * side][rows][columns of the task]
} task;

// Where the patch of the tile at `start` begins. In the gradient the padding is what the kernel does not reach of the
// source.
static size_t patch_start(const task *t, const rk_axis *axis, size_t start) {
  size_t padding = axis->gradient ? KERNEL - 1 - axis->padding : axis->padding;
  return start - padding + t->transforms->patch_inset;
}

static void transform_patches(task *t, size_t patch_row) {
  const rk_product *p = t->product;
  const rk_winograd_transforms *w = t->transforms;
  const rk_images source = {t->source, p->height.source, p->width.source, p->batch, p->depth};
  for (size_t row = t->row, count; row < t->row_end; row += count) {
    rk_winograd_segment s = rk_winograd_segment_at(p->width.result, p->batch, row, t->row_end);
    count = s.count;
    const float *patch[RK_WINOGRAD_MOST_PATCH];
    rk_find_square(&source, patch_start(t, &p->height, s.top), patch_start(t, &p->width, s.left), w->patch_side,
                   s.image, 0, patch);
    float *out = t->patches + (row - t->row) * p->depth;
    for (size_t i = 0, floats = count * p->depth, piece; i < floats; i += piece) {
      piece = minimum(floats - i, RK_WINOGRAD_PIECE);
      const float *pieces[RK_WINOGRAD_MOST_PATCH];
      for (size_t q = 0; q < w->patch_side * w->patch_side; q++) pieces[q] = from_offset(patch[q], i);
      w->transform_patch(pieces, patch_row, 1, 0, piece, out + i, t->patch_stride);
    }
  }
}

static size_t unit_columns(const task *t, size_t unit) {
  return minimum(t->product->columns - unit * RK_TILE_COLUMNS, RK_TILE_COLUMNS);
}

static const float *weights_of(const task *t, size_t unit, size_t q) {
  size_t products = t->transforms->products;
  return t->packed + (unit * RK_TILE_COLUMNS / RK_PANEL * products + q) * t->product->depth * RK_PANEL;
}

static float *sums_of(const task *t, size_t unit, size_t q) {
  return t->sums + q * t->sum_stride + (unit - t->unit) * RK_TILE_COLUMNS;
}

// The weights that are multiplied after these, or NULL.
static const float *next_weights(const task *t, size_t unit, size_t q) {
  size_t side = t->transforms->side;
  if (q % side + 1 < side) return weights_of(t, unit, q + 1);
  if (unit + 1 < t->unit_end) return weights_of(t, unit + 1, q + 1 - side);
  return q + 1 < t->transforms->products ? weights_of(t, t->unit, q + 1) : NULL;
}

static void multiply(const task *t, size_t unit, size_t q) {
  const rk_product *p = t->product;
  rk_stretch stretch = {0, 0, p->depth};
  size_t rows = t->row_end - t->row, b_floats = p->depth * RK_PANEL, c_rows[RK_TILE_ROWS];
  const float *next_b = next_weights(t, unit, q);
  for (size_t row = 0; row < rows; row += RK_TILE_ROWS) {
    size_t fetched = row / RK_PART_ROWS * (b_floats / RK_FETCH_PARTS);
    rk_tile tile = {
        .rows = minimum(rows - row, RK_TILE_ROWS),
        .columns = unit_columns(t, unit),
        .stretches = &stretch,
        .stretch_count = 1,
        .a = t->patches + q % t->transforms->side * t->patch_stride + row * p->depth,
        .a_stride = (ptrdiff_t)p->depth,
        .b = weights_of(t, unit, q),
        .b_stride = RK_PANEL,
        .b_panel = (ptrdiff_t)(t->transforms->products * b_floats),
        .next_b = fetched < b_floats ? from_offset(next_b, fetched) : NULL,
        .short_sums = t->transforms->short_sums,
        .c = sums_of(t, unit, q),
        .c_rows = c_rows,
    };
    for (size_t r = 0; r < tile.rows; r++) c_rows[r] = (row + r) * t->sum_width;
    rk_microkernels_current()->by_rows(&tile);
  }
}

static void write_results(const task *t, size_t unit) {
  const rk_product *p = t->product;
  const rk_epilogue none = {0}, *e = t->epilogue != NULL ? t->epilogue : &none;
  size_t column = unit * RK_TILE_COLUMNS;
  for (size_t row = t->row, count; row < t->row_end; row += count) {
    rk_winograd_segment s = rk_winograd_segment_at(p->width.result, p->batch, row, t->row_end);
    count = s.count;
    rk_winograd_outputs outputs = {
        .sums = sums_of(t, unit, 0) + (row - t->row) * t->sum_width,
        .stride = t->sum_stride,
        .width = t->sum_width,
        .rows = count,
        .columns = unit_columns(t, unit),
        .result_stride = p->columns,
        .scale = from_offset(e->scale, column),
        .bias = from_offset(e->bias, column),
        .accumulate = t->accumulate,
        .relu = e->relu,
    };
    for (size_t q = 0; q < RK_WINOGRAD_RESULTS; q++) {
      size_t h = s.top + q / TILE, w = s.left + q % TILE;
      if (h >= p->height.result || w >= p->width.result) continue;
      size_t at = ((h * p->width.result + w) * p->batch + s.image) * p->columns + column;
      outputs.results[q] = t->result + at;
      outputs.residuals[q] = from_offset(e->residual, at);
    }
    t->transforms->transform_sums(&outputs);
  }
}

static void run_block(task *t) {
  size_t rows = t->row_end - t->row, side = t->transforms->side;
  t->patch_stride = divide_up(rows * t->product->depth, PAGE) * PAGE + LINE;
  t->sum_stride = rows * t->sum_width + LINE;
  t->sums = t->patches + side * t->patch_stride;
  for (size_t patch_row = 0; patch_row < side; patch_row++) {
    transform_patches(t, patch_row);
    for (size_t unit = t->unit; unit < t->unit_end; unit++) {
      for (size_t j = 0; j < side; j++) multiply(t, unit, patch_row * side + j);
    }
  }
  for (size_t unit = t->unit; unit < t->unit_end; unit++) write_results(t, unit);
}

void rk_winograd_run(const rk_product *p, const float *source, const float *packed, const rk_epilogue *epilogue,
                     bool accumulate, float *result, size_t number) {
  partition part = partition_of(p);
  size_t chunk = number / part.groups, group = number % part.groups;
  task t;
  t.patches = rk_scratch((SCRATCH_FLOATS + PADDING_FLOATS) * sizeof(float));
  t.product = p;
  t.transforms = transforms_of(&p->height, &p->width);
  t.source = source;
  t.packed = packed;
  t.epilogue = epilogue;
  t.result = result;
  t.accumulate = accumulate;
  t.unit = part.units * group / part.groups;
  t.unit_end = part.units * (group + 1) / part.groups;
  t.sum_width = (t.unit_end - t.unit) * RK_TILE_COLUMNS;
  for (size_t b = part.blocks * chunk / part.chunks; b < part.blocks * (chunk + 1) / part.chunks; b++) {
    t.row = block_start(&part, b);
    t.row_end = block_start(&part, b + 1);
    run_block(&t);
  }
}
