#include "conv2d_pack.h"

#include "arithmetic.h"
#include "conv2d_winograd.h"
#include "microkernel.h"

enum { TASK_FLOATS = 8 * 1024, MOST_TASKS = 16 };

void rk_pack_matrix(const rk_product *p, const float *weight, size_t panel, size_t tap, size_t channel, size_t depth,
                    float *out) {
  const rk_microkernels *kernels = rk_microkernels_current();
  size_t column = panel * RK_PANEL;
  size_t columns = p->columns - column < RK_PANEL ? p->columns - column : RK_PANEL;
  const float *matrix = weight + tap * p->columns * p->depth;
  if (p->height.gradient) {
    kernels->copy(matrix + channel * p->columns + column, p->columns, columns, depth, out);
  } else {
    kernels->transpose(matrix + column * p->depth + channel, p->depth, columns, depth, out);
  }
}

int rk_conv2d_arrangement(const rk_conv2d *shape) {
  return rk_winograd_pays(shape) ? (int)rk_winograd_of(shape)->products : 0;
}

size_t rk_conv2d_packed_count(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  if (rk_winograd_pays(shape)) return rk_winograd_packed_count(&p);
  return rk_packed_matrices(&p) * p.depth * RK_PANEL;
}

size_t rk_conv2d_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  if (rk_winograd_pays(shape)) return rk_winograd_pack_tasks(&p);
  size_t matrices = rk_packed_matrices(&p), tasks = matrices * p.depth * RK_PANEL / TASK_FLOATS;
  return minimum(maximum(tasks, 1), minimum(matrices, MOST_TASKS));
}

void rk_conv2d_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, float *packed, size_t task) {
  rk_product p = rk_product_of(shape, pack == RK_PACK_BACKWARD_INPUT);
  if (rk_winograd_pays(shape)) return rk_winograd_pack(&p, weight, packed, task);
  size_t matrices = rk_packed_matrices(&p), tasks = rk_conv2d_pack_tasks(shape, pack);
  for (size_t m = matrices * task / tasks; m < matrices * (task + 1) / tasks; m++) {
    size_t panel = m / rk_product_taps(&p), tap = m % rk_product_taps(&p);
    rk_pack_matrix(&p, weight, panel, tap, 0, p.depth, packed + m * p.depth * RK_PANEL);
  }
}
