#include "conv2d_product.h"

#include <string.h>

#include "microkernel.h"

enum {
  // Steps of a sum that stay in registers: a panel's share of B fits half the L2 cache, rounding errors stay small.
  BLOCK_DEPTH = 576,
  BLOCK_TAPS = 64,
  // Shorter runs of evenly spaced rows are gathered, so that tiles keep their height.
  SHORTEST_RUN = 8,
  // Packed weights that a task goes through for every tile of rows.
  GROUP_FLOATS = 192 * 1024,
  // Multiply-adds worth a task of their own, and how many tasks are plenty.
  TASK_WORK = 1 << 20,
  MOST_TASKS = 64,
};

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static size_t maximum(size_t a, size_t b) { return a > b ? a : b; }
static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

rk_product rk_product_of(const rk_conv2d *s, bool gradient) {
  return (rk_product){
      .height = rk_height_axis(s, gradient),
      .width = rk_width_axis(s, gradient),
      .batch = s->batch,
      .depth = gradient ? s->out_channels : s->in_channels,
      .columns = gradient ? s->in_channels : s->out_channels,
  };
}

// The result positions of one pair of spans. Rows are numbered by height, width, image; `run` consecutive ones (a divisor
// of all) lie `stride` source rows apart.
typedef struct {
  rk_span height, width;
  size_t rows, run;
  ptrdiff_t stride;
  bool gathered;
  size_t tiles_per_run, tiles, taps;
} rectangle;

static rectangle rectangle_of(const rk_product *p, const rk_span *height, const rk_span *width) {
  rectangle r = {.height = *height, .width = *width, .taps = height->taps * width->taps, .stride = 1};
  size_t row_length = width->count * p->batch;
  r.rows = height->count * row_length;
  if (width->source_step == 1) {
    bool whole = height->source_step == 1 && width->count == p->width.source;
    r.run = whole ? r.rows : row_length;
  } else if (p->batch == 1) {
    r.run = row_length;
    r.stride = width->source_step;
  } else {
    r.run = p->batch;
  }
  if (p->batch == 1 && width->count == 1) {
    r.run = r.rows;
    r.stride = height->source_step * (ptrdiff_t)p->width.source;
  }
  r.gathered = r.run < SHORTEST_RUN && r.run < r.rows;
  if (r.gathered) r.run = r.rows;
  r.tiles_per_run = divide_up(r.run, RK_TILE_ROWS);
  r.tiles = r.rows / r.run * r.tiles_per_run;
  return r;
}

static size_t tile_cost(const rectangle *r) { return maximum(r->taps, 1); }

static bool next_rectangle(const rk_product *p, rectangle *r) {
  rk_span height = r->height, width = r->width;
  if (height.count == 0 && !rk_next_span(&p->height, &height)) return false;
  if (!rk_next_span(&p->width, &width)) {
    if (!rk_next_span(&p->height, &height)) return false;
    width = (rk_span){0};
    if (!rk_next_span(&p->width, &width)) return false;
  }
  *r = rectangle_of(p, &height, &width);
  return true;
}

// How the work is cut: into `chunks` of tiles of about equal cost times `groups` of panels.
typedef struct {
  size_t cost, panels, chunks, groups;
} partition;

static partition partition_of(const rk_product *p) {
  partition part = {.panels = divide_up(p->columns, RK_PANEL)};
  size_t tiles = 0;
  for (rectangle r = {0}; next_rectangle(p, &r);) {
    part.cost += r.tiles * tile_cost(&r);
    tiles += r.tiles;
  }
  size_t panel_floats = p->height.kernel * p->width.kernel * p->depth * RK_PANEL;
  size_t work = part.cost * RK_TILE_ROWS * p->depth * part.panels * RK_PANEL;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.groups = divide_up(part.panels, maximum(minimum(GROUP_FLOATS / panel_floats, part.panels), 1));
  part.chunks = maximum(minimum(divide_up(tasks, part.groups), tiles), 1);
  return part;
}

size_t rk_product_tasks(const rk_product *product) {
  partition part = partition_of(product);
  return part.chunks * part.groups;
}

// A block of the sum: the taps and source channels that are added up in registers.
typedef struct {
  rk_stretch stretches[BLOCK_TAPS];
  size_t taps, depth;
} block;

typedef struct {
  const rk_product *product;
  const rk_microkernels *kernels;
  const float *source, *packed;
  const rk_epilogue *epilogue;
  float *result;
  size_t panel, panel_end;
  bool accumulate;
} task;

// Source and result offsets of `count` rows from number `row` on.
static void locate_rows(const rk_product *p, const rectangle *r, size_t row, size_t count, ptrdiff_t *source,
                        size_t *result) {
  size_t n = row % p->batch, position = row / p->batch;
  size_t j = position % r->width.count, i = position / r->width.count;
  for (size_t k = 0; k < count; k++) {
    ptrdiff_t h = r->height.source + (ptrdiff_t)i * r->height.source_step;
    ptrdiff_t w = r->width.source + (ptrdiff_t)j * r->width.source_step;
    source[k] = ((h * (ptrdiff_t)p->width.source + w) * (ptrdiff_t)p->batch + (ptrdiff_t)n) * (ptrdiff_t)p->depth;
    size_t to = (r->height.result + i * r->height.result_step) * p->width.result + r->width.result +
                j * r->width.result_step;
    result[k] = (to * p->batch + n) * p->columns;
    if (++n == p->batch) {
      n = 0;
      if (++j == r->width.count) {
        j = 0;
        i++;
      }
    }
  }
}

static void multiply_tile(const task *t, const rectangle *r, const block *b, size_t row, size_t rows, bool first,
                          bool last) {
  const rk_product *p = t->product;
  ptrdiff_t source_rows[RK_TILE_ROWS];
  size_t result_rows[RK_TILE_ROWS];
  locate_rows(p, r, row, rows, source_rows, result_rows);

  rk_tile tile = {
      .rows = rows,
      .stretches = b->stretches,
      .stretch_count = b->taps,
      .a = t->source + source_rows[0],
      .a_stride = r->stride * (ptrdiff_t)p->depth,
      .b_stride = RK_PANEL,
      .c_rows = result_rows,
      .accumulate = t->accumulate || !first,
  };
  float gathered[RK_TILE_ROWS * BLOCK_DEPTH];
  rk_stretch stretches[BLOCK_TAPS];
  if (r->gathered) {
    size_t stride = b->taps * b->depth;
    for (size_t k = 0; k < rows; k++) {
      for (size_t s = 0; s < b->taps; s++) {
        memcpy(gathered + k * stride + s * b->depth, t->source + source_rows[k] + b->stretches[s].a,
               b->depth * sizeof(float));
      }
    }
    for (size_t s = 0; s < b->taps; s++) {
      stretches[s] = (rk_stretch){(ptrdiff_t)(s * b->depth), b->stretches[s].b, b->depth};
    }
    tile.stretches = stretches;
    tile.a = gathered;
    tile.a_stride = (ptrdiff_t)stride;
  }

  size_t panel_floats = p->height.kernel * p->width.kernel * p->depth * RK_PANEL;
  for (size_t panel = t->panel; panel < t->panel_end; panel++) {
    size_t column = panel * RK_PANEL;
    tile.columns = minimum(p->columns - column, RK_PANEL);
    tile.b = t->packed + panel * panel_floats;
    tile.c = t->result + column;
    if (last && t->epilogue != NULL) {
      tile.bias = t->epilogue->bias != NULL ? t->epilogue->bias + column : NULL;
      tile.residual = t->epilogue->residual != NULL ? t->epilogue->residual + column : NULL;
      tile.relu = t->epilogue->relu;
    }
    t->kernels->by_rows(&tile);
  }
}

// Describes taps [tap, tap_end) of the rectangle and source channels [channel, channel_end).
static void fill_block(const rk_product *p, const rectangle *r, size_t tap, size_t tap_end, size_t channel,
                       size_t channel_end, block *b) {
  b->taps = tap_end - tap;
  b->depth = channel_end - channel;
  for (size_t s = 0; s < b->taps; s++) {
    size_t i = (tap + s) / r->width.taps, j = (tap + s) % r->width.taps;
    ptrdiff_t position = (ptrdiff_t)i * r->height.source_tap_step * (ptrdiff_t)p->width.source +
                         (ptrdiff_t)j * r->width.source_tap_step;
    size_t number = (r->height.tap + i * r->height.tap_step) * p->width.kernel + r->width.tap + j * r->width.tap_step;
    b->stretches[s] = (rk_stretch){
        .a = position * (ptrdiff_t)(p->batch * p->depth) + (ptrdiff_t)channel,
        .b = (ptrdiff_t)((number * p->depth + channel) * RK_PANEL),
        .depth = b->depth,
    };
  }
}

// Tiles [first, end) of the rectangle, block by block of the sum.
static void multiply_tiles(const task *t, const rectangle *r, size_t first, size_t end) {
  const rk_product *p = t->product;
  size_t taps_at_once = minimum(maximum(BLOCK_DEPTH / p->depth, 1), BLOCK_TAPS);
  size_t tap_blocks = maximum(divide_up(r->taps, taps_at_once), 1), depth_blocks = divide_up(p->depth, BLOCK_DEPTH);
  size_t blocks = tap_blocks * depth_blocks;
  for (size_t number = 0; number < blocks; number++) {
    size_t tap_block = number / depth_blocks, depth_block = number % depth_blocks;
    block b;
    fill_block(p, r, r->taps * tap_block / tap_blocks, r->taps * (tap_block + 1) / tap_blocks,
               p->depth * depth_block / depth_blocks, p->depth * (depth_block + 1) / depth_blocks, &b);
    for (size_t tile = first; tile < end; tile++) {
      size_t start = tile / r->tiles_per_run * r->run, k = tile % r->tiles_per_run;
      size_t row = r->run * k / r->tiles_per_run, row_end = r->run * (k + 1) / r->tiles_per_run;
      multiply_tile(t, r, &b, start + row, row_end - row, number == 0, number + 1 == blocks);
    }
  }
}

void rk_product_run(const rk_product *product, const float *source, const float *packed, const rk_epilogue *epilogue,
                    bool accumulate, float *result, size_t task_number) {
  partition part = partition_of(product);
  size_t chunk = task_number / part.groups, group = task_number % part.groups;
  task t = {
      .product = product,
      .kernels = rk_microkernels_current(),
      .source = source,
      .packed = packed,
      .epilogue = epilogue,
      .result = result,
      .panel = part.panels * group / part.groups,
      .panel_end = part.panels * (group + 1) / part.groups,
      .accumulate = accumulate,
  };
  // A tile belongs to the chunk in which the cost of all tiles before it falls.
  size_t begin = part.cost * chunk / part.chunks, end = part.cost * (chunk + 1) / part.chunks, before = 0;
  for (rectangle r = {0}; next_rectangle(product, &r);) {
    size_t cost = tile_cost(&r);
    size_t first = begin > before ? minimum(divide_up(begin - before, cost), r.tiles) : 0;
    size_t last = end > before ? minimum(divide_up(end - before, cost), r.tiles) : 0;
    if (first < last && (r.taps > 0 || !accumulate)) multiply_tiles(&t, &r, first, last);
    before += r.tiles * cost;
  }
}
