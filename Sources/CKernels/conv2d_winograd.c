#include "conv2d_winograd.h"

#include <string.h>

#include "microkernel.h"
#include "winograd_transforms.h"

enum {
  KERNEL = 3,
  TILE = 2,   // results of a tile along an axis
  PATCH = 4,  // source positions that they meet
  PRODUCTS = RK_WINOGRAD_PATCH,
  // Rows whose transforms a task holds at a time: all that there are, or what leaves room in the L2 cache.
  MOST_ROWS = 96,
  MOST_PATCH_FLOATS = 256 * 1024,
  BLOCK_PATCH_FLOATS = MOST_PATCH_FLOATS / 2,
  // Arrays for the 16 products begin in different sets of the cache.
  LINE = 64 / sizeof(float),
  PAGE = 4096 / sizeof(float),
  // Floats of a patch that are transformed in one call.
  PIECE = 512,
  // Kernels that are transformed at a time on the way to a panel.
  PACKED_DEPTH = 32,
  TASK_WORK = 1 << 20,
  ENOUGH_TASKS = 16,
};

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static size_t maximum(size_t a, size_t b) { return a > b ? a : b; }
static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t tile_count(size_t results) { return divide_up(results, TILE); }

// Products along an axis by the definition.
static size_t met_taps(const rk_axis *axis) {
  size_t count = 0;
  for (rk_span span = {0}; rk_next_span(axis, &span);) count += span.count * span.taps;
  return count;
}

bool rk_winograd_pays(const rk_conv2d *s) {
  enum { FEWEST_CHANNELS = 32, FEWEST_ROWS = 32 };
  if (s->kernel_height != KERNEL || s->kernel_width != KERNEL || s->stride_height != 1 || s->stride_width != 1 ||
      s->padding_height >= KERNEL || s->padding_width >= KERNEL || s->in_channels < FEWEST_CHANNELS ||
      s->out_channels < FEWEST_CHANNELS) {
    return false;
  }
  rk_axis height = rk_height_axis(s, false), width = rk_width_axis(s, false);
  size_t tiles = tile_count(s->out_height) * tile_count(s->out_width);
  if (tiles * s->batch < FEWEST_ROWS) return false;
  return met_taps(&height) * met_taps(&width) * 4 > tiles * PRODUCTS * 7;
}

size_t rk_winograd_packed_count(const rk_product *p) {
  return divide_up(p->columns, RK_PANEL) * PRODUCTS * p->depth * RK_PANEL;
}

// Packing: a piece is PACKED_DEPTH source channels of a panel.

static size_t pieces_of_panel(const rk_product *p) { return divide_up(p->depth, PACKED_DEPTH); }

size_t rk_winograd_pack_tasks(const rk_product *p) {
  return minimum(divide_up(p->columns, RK_PANEL) * pieces_of_panel(p), ENOUGH_TASKS);
}

static void find_taps(const rk_product *p, const float *weight, size_t at, const float *taps[RK_WINOGRAD_TAPS]) {
  for (size_t t = 0; t < RK_WINOGRAD_TAPS; t++) {
    // The input gradient is a convolution with the kernel turned around.
    size_t tap = p->height.gradient ? RK_WINOGRAD_TAPS - 1 - t : t;
    taps[t] = weight + tap * p->columns * p->depth + at;
  }
}

static void pack_piece(const rk_product *p, const float *weight, size_t panel, size_t channel, float *packed) {
  size_t column = panel * RK_PANEL, columns = minimum(p->columns - column, RK_PANEL);
  size_t depth = minimum(p->depth - channel, PACKED_DEPTH), stride = p->depth * RK_PANEL;
  float *out = packed + panel * PRODUCTS * stride + channel * RK_PANEL;
  const float *taps[RK_WINOGRAD_TAPS];
  if (p->height.gradient) {
    for (size_t k = 0; k < depth; k++, out += RK_PANEL) {
      find_taps(p, weight, (channel + k) * p->columns + column, taps);
      rk_winograd_transform_taps(taps, columns, out, stride);
      for (size_t q = 0; q < PRODUCTS && columns < RK_PANEL; q++) {
        memset(out + q * stride + columns, 0, (RK_PANEL - columns) * sizeof(float));
      }
    }
    return;
  }
  float transformed[PRODUCTS][RK_PANEL][PACKED_DEPTH];
  for (size_t c = 0; c < columns; c++) {
    find_taps(p, weight, (column + c) * p->depth + channel, taps);
    rk_winograd_transform_taps(taps, depth, transformed[0][c], RK_PANEL * PACKED_DEPTH);
  }
  for (size_t q = 0; q < PRODUCTS; q++) {
    rk_microkernels_current()->transpose(transformed[q][0], PACKED_DEPTH, columns, depth, out + q * stride);
  }
}

void rk_winograd_pack(const rk_product *p, const float *weight, float *packed, size_t task) {
  size_t pieces = pieces_of_panel(p), all = divide_up(p->columns, RK_PANEL) * pieces;
  size_t tasks = rk_winograd_pack_tasks(p);
  for (size_t n = all * task / tasks; n < all * (task + 1) / tasks; n++) {
    pack_piece(p, weight, n / pieces, n % pieces * PACKED_DEPTH, packed);
  }
}

// Running: rows are numbered by tile (height, width) and image; a block of them is transformed, multiplied and
// transformed back while it is in the cache. A task has some of the blocks and some units of columns.

typedef struct {
  size_t rows, blocks, units, chunks, groups;
} partition;

static partition partition_of(const rk_product *p) {
  partition part = {.rows = tile_count(p->height.result) * tile_count(p->width.result) * p->batch};
  part.units = divide_up(p->columns, RK_TILE_COLUMNS);
  size_t row_floats = PRODUCTS * p->depth;
  bool one_block = part.rows <= MOST_ROWS && part.rows * row_floats <= MOST_PATCH_FLOATS;
  size_t most = one_block ? part.rows : maximum(minimum(BLOCK_PATCH_FLOATS / row_floats, MOST_ROWS), 1);
  size_t tasks = minimum(maximum(part.rows * PRODUCTS * p->depth * p->columns / TASK_WORK, 1), ENOUGH_TASKS);
  part.blocks = divide_up(part.rows, most);
  part.chunks = minimum(part.blocks, tasks);
  part.groups = minimum(divide_up(tasks, part.chunks), part.units);
  return part;
}

// Blocks are of whole parts of tiles, but for the last.
static size_t block_start(const partition *part, size_t block) {
  size_t parts = divide_up(part->rows, RK_PART_ROWS);
  return minimum(parts * block / part->blocks * RK_PART_ROWS, part->rows);
}

size_t rk_winograd_tasks(const rk_product *p) {
  partition part = partition_of(p);
  return part.chunks * part.groups;
}

typedef struct {
  const rk_product *product;
  const float *source, *packed;
  const rk_epilogue *epilogue;
  float *result;
  bool accumulate;
  size_t row, row_end;                    // the block
  size_t patch_stride, sum_stride;        // floats between the arrays of two products
  float patches[MOST_PATCH_FLOATS + PRODUCTS * (PAGE + LINE)];   // [16][rows][depth]
  float sums[PRODUCTS * (MOST_ROWS * RK_TILE_COLUMNS + LINE)];  // [16][rows][64]
} task;

// Rows of one tile: images from `image` on.
typedef struct {
  size_t top, left;  // of the results
  size_t image, count;
} segment;

static segment segment_at(const task *t, size_t row) {
  const rk_product *p = t->product;
  size_t tile = row / p->batch, image = row % p->batch, across = tile_count(p->width.result);
  return (segment){tile / across * TILE, tile % across * TILE, image, minimum(p->batch - image, t->row_end - row)};
}

// In the gradient the padding is what the kernel does not reach of the source.
static size_t padding(const rk_axis *axis) { return axis->gradient ? KERNEL - 1 - axis->padding : axis->padding; }

static void transform_source(task *t) {
  static const float zeros[PIECE];
  const rk_product *p = t->product;
  for (size_t row = t->row, count; row < t->row_end; row += count) {
    segment s = segment_at(t, row);
    count = s.count;
    const float *patch[PRODUCTS];
    for (size_t q = 0; q < PRODUCTS; q++) {
      // Outside the source these wrap around to what is larger than any position.
      size_t h = s.top + q / PATCH - padding(&p->height), w = s.left + q % PATCH - padding(&p->width);
      bool inside = h < p->height.source && w < p->width.source;
      patch[q] = inside ? t->source + ((h * p->width.source + w) * p->batch + s.image) * p->depth : NULL;
    }
    float *out = t->patches + (row - t->row) * p->depth;
    for (size_t i = 0, floats = count * p->depth; i < floats; i += PIECE) {
      const float *pieces[PRODUCTS];
      for (size_t q = 0; q < PRODUCTS; q++) pieces[q] = patch[q] != NULL ? patch[q] + i : zeros;
      rk_winograd_transform_patch(pieces, minimum(floats - i, PIECE), out + i, t->patch_stride);
    }
  }
}

static void multiply_unit(task *t, size_t column, size_t columns) {
  const rk_product *p = t->product;
  const rk_microkernels *kernels = rk_microkernels_current();
  rk_stretch stretch = {0, 0, p->depth};
  size_t rows = t->row_end - t->row, c_rows[RK_TILE_ROWS];
  for (size_t q = 0; q < PRODUCTS; q++) {
    for (size_t row = 0; row < rows; row += RK_TILE_ROWS) {
      rk_tile tile = {
          .rows = minimum(rows - row, RK_TILE_ROWS),
          .columns = columns,
          .stretches = &stretch,
          .stretch_count = 1,
          .a = t->patches + q * t->patch_stride + row * p->depth,
          .a_stride = (ptrdiff_t)p->depth,
          .b = t->packed + (column / RK_PANEL * PRODUCTS + q) * p->depth * RK_PANEL,
          .b_stride = RK_PANEL,
          .b_panel = (ptrdiff_t)(PRODUCTS * p->depth * RK_PANEL),
          .c = t->sums + q * t->sum_stride,
          .c_rows = c_rows,
      };
      for (size_t r = 0; r < tile.rows; r++) c_rows[r] = (row + r) * RK_TILE_COLUMNS;
      kernels->by_rows(&tile);
    }
  }
}

static void write_results(const task *t, size_t column, size_t columns) {
  const rk_product *p = t->product;
  const float *residual = t->epilogue != NULL ? t->epilogue->residual : NULL;
  for (size_t row = t->row, count; row < t->row_end; row += count) {
    segment s = segment_at(t, row);
    count = s.count;
    rk_winograd_outputs outputs = {
        .sums = t->sums + (row - t->row) * RK_TILE_COLUMNS,
        .stride = t->sum_stride,
        .width = RK_TILE_COLUMNS,
        .rows = count,
        .columns = columns,
        .result_stride = p->columns,
        .bias = t->epilogue != NULL && t->epilogue->bias != NULL ? t->epilogue->bias + column : NULL,
        .accumulate = t->accumulate,
        .relu = t->epilogue != NULL && t->epilogue->relu,
    };
    for (size_t q = 0; q < RK_WINOGRAD_RESULTS; q++) {
      size_t h = s.top + q / TILE, w = s.left + q % TILE;
      if (h >= p->height.result || w >= p->width.result) continue;
      size_t at = ((h * p->width.result + w) * p->batch + s.image) * p->columns + column;
      outputs.results[q] = t->result + at;
      outputs.residuals[q] = residual != NULL ? residual + at : NULL;
    }
    rk_winograd_transform_sums(&outputs);
  }
}

void rk_winograd_run(const rk_product *p, const float *source, const float *packed, const rk_epilogue *epilogue,
                     bool accumulate, float *result, size_t number) {
  partition part = partition_of(p);
  size_t chunk = number / part.groups, group = number % part.groups;
  task t;
  t.product = p;
  t.source = source;
  t.packed = packed;
  t.epilogue = epilogue;
  t.result = result;
  t.accumulate = accumulate;
  for (size_t b = part.blocks * chunk / part.chunks; b < part.blocks * (chunk + 1) / part.chunks; b++) {
    t.row = block_start(&part, b);
    t.row_end = block_start(&part, b + 1);
    t.patch_stride = divide_up((t.row_end - t.row) * p->depth, PAGE) * PAGE + LINE;
    t.sum_stride = (t.row_end - t.row) * RK_TILE_COLUMNS + LINE;
    transform_source(&t);
    for (size_t unit = part.units * group / part.groups; unit < part.units * (group + 1) / part.groups; unit++) {
      size_t column = unit * RK_TILE_COLUMNS, columns = minimum(p->columns - column, RK_TILE_COLUMNS);
      multiply_unit(&t, column, columns);
      write_results(&t, column, columns);
    }
  }
}
