#include "conv2d_rectangle.h"

#include <stdint.h>

#include "arithmetic.h"
#include "conv2d_pack.h"
#include "microkernel.h"

enum {
  SHORTEST_RUN = 8,
  // Packed weights that a task goes through for every tile of rows.
  GROUP_FLOATS = 192 * 1024,
  // Half of an L2 cache.
  CACHE_FLOATS = 256 * 1024,
  // Multiply-adds worth a task of their own, how many tasks are plenty and how many enough.
  TASK_WORK = 1 << 20,
  MOST_TASKS = 64,
  FEWEST_TASKS = 8,
  MOST_DIRECT_TASKS = 16,
  // With this many groups of panels rows stay together, or every task of a group would pack the same panels.
  ENOUGH_GROUPS = 8,
};

rk_product rk_product_of(const rk_conv2d *s, bool gradient) {
  return (rk_product){
      .height = rk_height_axis(s, gradient),
      .width = rk_width_axis(s, gradient),
      .batch = s->batch,
      .depth = gradient ? s->out_channels : s->in_channels,
      .columns = gradient ? s->in_channels : s->out_channels,
      .tile_rows = RK_TILE_ROWS,
      .tile_panels = RK_TILE_COLUMNS / RK_PANEL,
      .part_rows = RK_PART_ROWS,
      .depth_multiple = 1,
      .pack = rk_pack_matrices,
      .panels_together = 1,
  };
}

static rk_rectangle rectangle_of(const rk_product *p, const rk_span *height, const rk_span *width) {
  rk_rectangle r = {.height = *height, .width = *width, .taps = height->taps * width->taps, .stride = 1};
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
  r.parts_per_run = divide_up(r.run, p->part_rows);
  r.tiles_per_run = divide_up(r.parts_per_run, p->tile_rows / p->part_rows);
  r.tiles = r.rows / r.run * r.tiles_per_run;
  return r;
}

static size_t tile_cost(const rk_rectangle *r) { return maximum(r->taps, 1); }

bool rk_next_rectangle(const rk_product *p, rk_rectangle *r) {
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

void rk_locate_rows(const rk_product *p, const rk_rectangle *r, size_t row, size_t count, ptrdiff_t *source,
                    size_t *result) {
  size_t n = row % p->batch, position = row / p->batch;
  size_t j = position % r->width.count, i = position / r->width.count;
  for (size_t k = 0; k < count; n = 0) {
    ptrdiff_t h = r->height.source + (ptrdiff_t)i * r->height.source_step;
    ptrdiff_t w = r->width.source + (ptrdiff_t)j * r->width.source_step;
    size_t from = (size_t)(h * (ptrdiff_t)p->width.source + w) * p->batch;
    size_t to = ((r->height.result + i * r->height.result_step) * p->width.result + r->width.result +
                 j * r->width.result_step) * p->batch;
    for (; n < p->batch && k < count; n++, k++) {
      source[k] = (ptrdiff_t)((from + n) * p->depth);
      result[k] = (to + n) * p->columns;
    }
    if (++j == r->width.count) {
      j = 0;
      i++;
    }
  }
}

size_t rk_rectangle_cost(const rk_rectangle *r) { return r->tiles * tile_cost(r); }

// Products of a position with all taps there are, for all images.
static size_t most_work(const rk_product *p) {
  size_t rows = p->height.result * p->width.result * p->batch, taps = p->height.kernel * p->width.kernel;
  return rows * taps * p->depth * rk_product_panels(p) * RK_PANEL;
}

rk_partition rk_partition_of(const rk_product *p) {
  rk_partition part = {.panels = rk_product_panels(p)};
  part.units = divide_up(part.panels, p->tile_panels);
  if (most_work(p) <= TASK_WORK) {
    // One task, for which no rectangle needs to be looked at: any bound of their cost will do.
    part.chunks = part.groups = 1;
    part.cost = SIZE_MAX / 2;
    return part;
  }
  size_t tiles = 0;
  for (rk_rectangle r = {0}; rk_next_rectangle(p, &r);) {
    part.cost += rk_rectangle_cost(&r);
    tiles += r.tiles;
  }
  size_t unit_floats = p->height.kernel * p->width.kernel * p->depth * RK_PANEL * p->tile_panels;
  size_t work = part.cost * p->tile_rows * p->depth * part.panels * RK_PANEL;
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.groups = divide_up(part.units, maximum(minimum(GROUP_FLOATS / unit_floats, part.units), 1));
  size_t source_floats = p->height.source * p->width.source * p->batch * p->depth;
  if (source_floats <= CACHE_FLOATS && unit_floats * part.units >= CACHE_FLOATS / 2) {
    // The weight comes from far away, the source does not: rows stay together, and no task fetches a panel again.
    part.groups = maximum(part.groups, minimum(part.units, tasks));
    tasks = minimum(tasks, FEWEST_TASKS);
  }
  part.chunks = maximum(minimum(divide_up(tasks, part.groups), tiles), 1);
  return part;
}

rk_partition rk_direct_partition_of(const rk_product *p, size_t panel_floats, size_t room) {
  rk_partition part = rk_partition_of(p);
  size_t tasks = minimum(part.chunks * part.groups, MOST_DIRECT_TASKS);
  size_t units_at_once = maximum(room / (panel_floats * p->tile_panels), 1);
  part.groups = maximum(minimum(tasks, part.units), divide_up(part.units, units_at_once));
  part.chunks = part.groups >= ENOUGH_GROUPS ? 1 : divide_up(tasks, part.groups);
  return part;
}

// A tile belongs to the chunk in which the cost of all tiles before it falls.
void rk_tiles_of_chunk(const rk_partition *part, size_t chunk, const rk_rectangle *r, size_t before, size_t *first,
                       size_t *end) {
  size_t cost = tile_cost(r);
  size_t from = part->cost * chunk / part->chunks, to = part->cost * (chunk + 1) / part->chunks;
  *first = from > before ? minimum(divide_up(from - before, cost), r->tiles) : 0;
  *end = to > before ? minimum(divide_up(to - before, cost), r->tiles) : 0;
}
