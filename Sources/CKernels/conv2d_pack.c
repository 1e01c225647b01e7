#include "conv2d_pack.h"

#include "arithmetic.h"
#include "conv2d_winograd.h"
#include "microkernel.h"

enum { TASK_FLOATS = 8 * 1024, MOST_TASKS = 16 };

void rk_pack_matrices(const rk_product *p, const float *weight, size_t panel, size_t panels, size_t tap, size_t channel,
                      size_t depth, float *out, size_t panel_stride) {
  const rk_microkernels *kernels = rk_microkernels_current();
  const float *matrix = weight + tap * p->columns * p->depth;
  for (size_t n = 0; n < panels; n++, out += panel_stride) {
    size_t column = (panel + n) * RK_PANEL, columns = minimum(p->columns - column, RK_PANEL);
    if (p->height.gradient) {
      kernels->copy(matrix + channel * p->columns + column, p->columns, columns, depth, out);
    } else {
      kernels->transpose(matrix + column * p->depth + channel, p->depth, columns, depth, out);
    }
  }
}

size_t rk_packed_floats(const rk_product *p) {
  return rk_product_panels(p) * rk_product_taps(p) * rk_packed_depth(p) * RK_PANEL;
}

// A piece is a tap of the panels that are packed together.
static size_t piece_count(const rk_product *p) {
  return divide_up(rk_product_panels(p), p->panels_together) * rk_product_taps(p);
}

size_t rk_pack_tasks(const rk_product *p) {
  size_t tasks = maximum(rk_packed_floats(p) / TASK_FLOATS, 1);
  return minimum(tasks, minimum(piece_count(p), MOST_TASKS));
}

void rk_pack_weight(const rk_product *p, const float *weight, float *packed, size_t task) {
  size_t pieces = piece_count(p), tasks = rk_pack_tasks(p);
  size_t taps = rk_product_taps(p), floats = rk_packed_depth(p) * RK_PANEL;
  for (size_t piece = pieces * task / tasks; piece < pieces * (task + 1) / tasks; piece++) {
    size_t panel = piece / taps * p->panels_together, tap = piece % taps;
    p->pack(p, weight, panel, minimum(rk_product_panels(p) - panel, p->panels_together), tap, 0, rk_packed_depth(p),
            packed + (panel * taps + tap) * floats, taps * floats);
  }
}

int rk_conv2d_arrangement(const rk_conv2d *shape) {
  return rk_winograd_pays(shape) ? (int)rk_winograd_of(shape)->products : 0;
}

size_t rk_conv2d_packed_count(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  return rk_winograd_pays(shape) ? rk_winograd_packed_count(&p) : rk_packed_floats(&p);
}

size_t rk_conv2d_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  return rk_winograd_pays(shape) ? rk_winograd_pack_tasks(&p) : rk_pack_tasks(&p);
}

void rk_conv2d_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, float *packed, size_t task) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  if (rk_winograd_pays(shape)) return rk_winograd_pack(&p, weight, packed, task);
  rk_pack_weight(&p, weight, packed, task);
}
