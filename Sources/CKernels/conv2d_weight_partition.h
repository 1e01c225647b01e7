// How a weight gradient is cut into tasks.
#ifndef RESIDUAL_CONV2D_WEIGHT_PARTITION_H
#define RESIDUAL_CONV2D_WEIGHT_PARTITION_H

#include "arithmetic.h"

/// The result has `units` of columns and `tiles` of rows; a task is one group of either.
typedef struct {
  size_t units, tiles, unit_groups, tile_groups;
} rk_weight_partition;

/// `work`: products of floats.
static inline rk_weight_partition rk_cut_weight(size_t units, size_t tiles, size_t work) {
  // A task has at most MOST_TILES tiles, and not fewer than half of it for want of tasks.
  enum { MOST_TILES = 22, TASK_WORK = 1 << 22, MOST_TASKS = 16 };
  rk_weight_partition part = {.units = units, .tiles = tiles};
  size_t tasks = minimum(maximum(work / TASK_WORK, 1), MOST_TASKS);
  part.tile_groups = divide_up(tiles, MOST_TILES);
  part.unit_groups = minimum(divide_up(tasks, part.tile_groups), units);
  if (part.unit_groups * part.tile_groups < tasks) {
    part.tile_groups = minimum(divide_up(tasks, part.unit_groups), divide_up(tiles, MOST_TILES / 2 + 1));
    if (units == 1 && tiles > 1) part.tile_groups = maximum(part.tile_groups, 2);
  }
  return part;
}

static inline size_t rk_weight_tasks(const rk_weight_partition *part) { return part->unit_groups * part->tile_groups; }

/// The units and tiles of a task.
typedef struct {
  size_t unit, unit_end, tile, tile_end;
} rk_weight_share;

static inline rk_weight_share rk_weight_share_of(const rk_weight_partition *part, size_t task) {
  size_t unit_group = task / part->tile_groups, tile_group = task % part->tile_groups;
  return (rk_weight_share){
      .unit = part->units * unit_group / part->unit_groups,
      .unit_end = part->units * (unit_group + 1) / part->unit_groups,
      .tile = part->tiles * tile_group / part->tile_groups,
      .tile_end = part->tiles * (tile_group + 1) / part->tile_groups,
  };
}

#endif
