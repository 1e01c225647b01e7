#include "conv2d_product.h"

#include <string.h>

#include "arithmetic.h"
#include "microkernel.h"
#include "scratch.h"

enum {
  // Steps of a sum between two visits to the result: a panel's share of B fits the L2 cache.
  BLOCK_DEPTH = 1152,
  BLOCK_TAPS = 64,
  MOST_TILE_ROWS = 32,
  // What a task packs for itself: all taps of one panel of a 3 x 3 kernel over 256 channels.
  SCRATCH_FLOATS = 9 * 256 * RK_PANEL,
  GATHERED_FLOATS = MOST_TILE_ROWS * BLOCK_DEPTH,
};

// A rectangle of the kernel.
typedef struct {
  size_t top, left, height, width;
} tap_box;

// A block of the sum: the taps and source channels that are added up in registers.
typedef struct {
  rk_stretch stretches[BLOCK_TAPS];
  size_t taps, depth;
  size_t source_depth;  // `depth` without padding
  size_t panel_stride;  // floats between two packed panels
} block;

typedef struct {
  const rk_product *product;
  void (*by_rows)(const rk_tile *);
  const float *source;
  const rk_epilogue *epilogue;
  float *result;
  uint16_t *rounded;  // NULL, or where the finished results go as bfloat16, too
  bool accumulate;
  size_t panel, panel_end;
  // The taps of `box`, of the panels from `first_packed` on.
  const float *packed;
  size_t first_packed;
  tap_box box;
  // NULL, or where the weights are, and where a block of them is packed.
  const float *weight;
  float *scratch;
  float *gathered;  // rows of a tile, where they are not read in place
} task;

// Copies what the block takes of the rows, one row after the other, padded with zeros.
static void gather(const task *t, const block *b, const ptrdiff_t *source_rows, size_t rows, float *out) {
  for (size_t k = 0; k < rows; k++) {
    for (size_t s = 0; s < b->taps; s++, out += b->depth) {
      memcpy(out, t->source + source_rows[k] + b->stretches[s].a, b->source_depth * sizeof(float));
      memset(out + b->source_depth, 0, (b->depth - b->source_depth) * sizeof(float));
    }
  }
}

static void multiply_tile(const task *t, const rk_rectangle *r, const block *b, size_t row, size_t rows, bool first,
                          bool last) {
  const rk_product *p = t->product;
  ptrdiff_t source_rows[MOST_TILE_ROWS];
  size_t result_rows[MOST_TILE_ROWS];
  rk_locate_rows(p, r, row, rows, source_rows, result_rows);

  rk_tile tile = {
      .rows = rows,
      .stretches = b->stretches,
      .stretch_count = b->taps,
      .a = t->source + source_rows[0],
      .a_stride = r->stride * (ptrdiff_t)p->depth,
      .b_stride = RK_PANEL,
      .b_panel = (ptrdiff_t)b->panel_stride,
      .c_rows = result_rows,
      .accumulate = t->accumulate || !first,
  };
  rk_stretch stretches[BLOCK_TAPS];
  if (r->gathered || p->depth % p->depth_multiple != 0) {
    gather(t, b, source_rows, rows, t->gathered);
    for (size_t s = 0; s < b->taps; s++) {
      stretches[s] = (rk_stretch){(ptrdiff_t)(s * b->depth), b->stretches[s].b, b->depth};
    }
    tile.stretches = stretches;
    tile.a = t->gathered;
    tile.a_stride = (ptrdiff_t)(b->taps * b->depth);
  }

  for (size_t panel = t->panel; panel < t->panel_end; panel += p->tile_panels) {
    size_t column = panel * RK_PANEL;
    tile.columns = minimum(p->columns - column, p->tile_panels * RK_PANEL);
    tile.b = t->packed + (panel - t->first_packed) * b->panel_stride;
    tile.c = t->result + column;
    tile.fetches_rows = panel == t->panel;
    if (last && t->epilogue != NULL) {
      tile.scale = from_offset(t->epilogue->scale, column);
      tile.bias = from_offset(t->epilogue->bias, column);
      tile.residual = from_offset(t->epilogue->residual, column);
      tile.relu = t->epilogue->relu;
    }
    t->by_rows(&tile);
    // The results are in the first cache now.
    if (last && t->rounded != NULL) {
      p->round_rows(tile.c, result_rows, rows, tile.columns, t->rounded + column);
    }
  }
}

// Packs a tap of the block for all panels of the task.
static void pack_tap(const task *t, size_t tap, size_t channel, const block *b, const rk_stretch *stretch) {
  t->product->pack(t->product, t->weight, t->panel, t->panel_end - t->panel, tap, channel, b->depth,
                   t->scratch + stretch->b, b->panel_stride);
}

// Of one image, `width` taps beside each other meet channels beside each other: one stretch of `width` times the depth.
static bool can_join_taps(const task *t, const rk_rectangle *r, const block *b, size_t tap) {
  const rk_product *p = t->product;
  return p->batch == 1 && r->width.source_tap_step == 1 && !r->gathered && b->depth == p->depth &&
         tap % r->width.taps == 0 && b->taps % r->width.taps == 0;
}

static void join_taps(block *b, size_t width) {
  b->taps /= width;
  for (size_t s = 0; s < b->taps; s++) {
    b->stretches[s] = b->stretches[s * width];
    b->stretches[s].depth *= width;
  }
}

// Describes taps [tap, tap_end) of the rectangle and source channels [channel, channel_end).
static void fill_block(const task *t, const rk_rectangle *r, size_t tap, size_t tap_end, size_t channel,
                       size_t channel_end, block *b) {
  const rk_product *p = t->product;
  b->taps = tap_end - tap;
  b->depth = channel_end - channel;
  b->source_depth = minimum(channel_end, p->depth) - channel;
  size_t packed_steps = t->weight != NULL ? b->taps * b->depth : t->box.height * t->box.width * rk_packed_depth(p);
  b->panel_stride = packed_steps * RK_PANEL;
  for (size_t s = 0; s < b->taps; s++) {
    size_t i = (tap + s) / r->width.taps, j = (tap + s) % r->width.taps;
    ptrdiff_t position = (ptrdiff_t)i * r->height.source_tap_step * (ptrdiff_t)p->width.source +
                         (ptrdiff_t)j * r->width.source_tap_step;
    size_t kh = r->height.tap + i * r->height.tap_step, kw = r->width.tap + j * r->width.tap_step;
    size_t number = (kh - t->box.top) * t->box.width + kw - t->box.left;
    b->stretches[s] = (rk_stretch){
        .a = position * (ptrdiff_t)(p->batch * p->depth) + (ptrdiff_t)channel,
        .b = (ptrdiff_t)((number * rk_packed_depth(p) + channel) * RK_PANEL),
        .depth = b->depth,
    };
    if (t->weight != NULL) {
      b->stretches[s].b = (ptrdiff_t)(s * b->depth * RK_PANEL);
      pack_tap(t, kh * p->width.kernel + kw, channel, b, &b->stretches[s]);
    }
  }
  if (b->taps > 0 && can_join_taps(t, r, b, tap)) join_taps(b, r->width.taps);
}

// Tiles [first, end) of the rectangle, block by block of the sum.
static void multiply_tiles(const task *t, const rk_rectangle *r, size_t first, size_t end) {
  const rk_product *p = t->product;
  size_t depth = rk_packed_depth(p), steps = depth / p->depth_multiple;
  size_t taps_at_once = minimum(maximum(BLOCK_DEPTH / depth, 1), BLOCK_TAPS);
  size_t tap_blocks = maximum(divide_up(r->taps, taps_at_once), 1), depth_blocks = divide_up(depth, BLOCK_DEPTH);
  size_t blocks = tap_blocks * depth_blocks, parts_per_tile = p->tile_rows / p->part_rows;
  for (size_t number = 0; number < blocks; number++) {
    size_t tap_block = number / depth_blocks, depth_block = number % depth_blocks;
    block b;
    fill_block(t, r, r->taps * tap_block / tap_blocks, r->taps * (tap_block + 1) / tap_blocks,
               steps * depth_block / depth_blocks * p->depth_multiple,
               steps * (depth_block + 1) / depth_blocks * p->depth_multiple, &b);
    for (size_t tile = first; tile < end; tile++) {
      size_t start = tile / r->tiles_per_run * r->run, part = tile % r->tiles_per_run * parts_per_tile;
      size_t part_end = minimum(part + parts_per_tile, r->parts_per_run);
      size_t row = r->run * part / r->parts_per_run, row_end = r->run * part_end / r->parts_per_run;
      multiply_tile(t, r, &b, start + row, row_end - row, number == 0, number + 1 == blocks);
    }
  }
}

// The chunk's tiles of all rectangles, for the task's panels.
static void multiply_chunk(const task *t, const rk_partition *part, size_t chunk) {
  size_t before = 0, first, end;
  for (rk_rectangle r = {0}; rk_next_rectangle(t->product, &r); before += rk_rectangle_cost(&r)) {
    rk_tiles_of_chunk(part, chunk, &r, before, &first, &end);
    if (first < end && (r.taps > 0 || !t->accumulate)) multiply_tiles(t, &r, first, end);
  }
}

static task task_of(const rk_product *product, const rk_partition *part, size_t number) {
  size_t group = number % part->groups;
  return (task){
      .product = product,
      .panel = part->units * group / part->groups * product->tile_panels,
      .panel_end = minimum(part->units * (group + 1) / part->groups * product->tile_panels, part->panels),
      .box = {0, 0, product->height.kernel, product->width.kernel},
  };
}

size_t rk_product_tasks(const rk_product *product) {
  rk_partition part = rk_partition_of(product);
  return part.chunks * part.groups;
}

void rk_product_run(const rk_product *product, void (*by_rows)(const rk_tile *), const float *source,
                    const float *packed, const rk_epilogue *epilogue, bool accumulate, float *result, uint16_t *rounded,
                    size_t number) {
  rk_partition part = rk_partition_of(product);
  task t = task_of(product, &part, number);
  t.source = source;
  t.epilogue = epilogue;
  t.result = result;
  t.rounded = rounded;
  t.accumulate = accumulate;
  t.by_rows = by_rows;
  t.packed = packed;
  t.gathered = rk_scratch(GATHERED_FLOATS * sizeof(float));
  multiply_chunk(&t, &part, number / part.groups);
}

// The taps of an axis that meet data anywhere.
static void find_met_taps(const rk_axis *axis, size_t *first, size_t *count) {
  size_t begin = axis->kernel, end = 0;
  for (rk_span span = {0}; rk_next_span(axis, &span);) {
    if (span.taps == 0) continue;
    begin = minimum(begin, span.tap);
    end = maximum(end, span.tap + (span.taps - 1) * span.tap_step + 1);
  }
  *first = begin;
  *count = end > begin ? end - begin : 0;
}

static tap_box met_taps(const rk_product *p) {
  tap_box box;
  find_met_taps(&p->height, &box.top, &box.height);
  find_met_taps(&p->width, &box.left, &box.width);
  return box;
}

static rk_partition direct_partition(const rk_product *p, const tap_box *box) {
  size_t panel_floats = maximum(box->height * box->width, 1) * rk_packed_depth(p) * RK_PANEL;
  return rk_direct_partition_of(p, panel_floats, SCRATCH_FLOATS);
}

size_t rk_product_direct_tasks(const rk_product *product) {
  tap_box box = met_taps(product);
  rk_partition part = direct_partition(product, &box);
  return part.chunks * part.groups;
}

bool rk_product_direct_packs_once(const rk_product *product) {
  tap_box box = met_taps(product);
  return direct_partition(product, &box).chunks == 1;
}

static void pack_panels(const task *t, const float *weight, float *out) {
  const rk_product *p = t->product;
  size_t taps = t->box.height * t->box.width, floats = rk_packed_depth(p) * RK_PANEL;
  for (size_t k = 0; k < taps; k++, out += floats) {
    size_t tap = (t->box.top + k / t->box.width) * p->width.kernel + t->box.left + k % t->box.width;
    p->pack(p, weight, t->panel, t->panel_end - t->panel, tap, 0, rk_packed_depth(p), out, taps * floats);
  }
}

void rk_product_run_direct(const rk_product *product, void (*by_rows)(const rk_tile *), const float *source,
                           const float *weight, const rk_epilogue *epilogue, bool accumulate, float *result,
                           size_t number) {
  float *scratch = rk_scratch((SCRATCH_FLOATS + GATHERED_FLOATS) * sizeof(float));
  tap_box box = met_taps(product);
  rk_partition part = direct_partition(product, &box);
  task t = task_of(product, &part, number);
  t.source = source;
  t.epilogue = epilogue;
  t.result = result;
  t.accumulate = accumulate;
  t.by_rows = by_rows;
  t.packed = scratch;
  t.gathered = scratch + SCRATCH_FLOATS;
  t.first_packed = t.panel;
  t.box = box;
  if ((t.panel_end - t.panel) * box.height * box.width * rk_packed_depth(product) * RK_PANEL <= SCRATCH_FLOATS) {
    pack_panels(&t, weight, scratch);
    return multiply_chunk(&t, &part, number / part.groups);
  }
  // Too much for the scratch: every block of the sum is packed when it is needed.
  t.weight = weight;
  t.scratch = scratch;
  for (size_t end = t.panel_end; t.panel < end; t.panel = t.panel_end) {
    t.panel_end = minimum(t.panel + product->tile_panels, end);
    t.first_packed = t.panel;
    multiply_chunk(&t, &part, number / part.groups);
  }
}
