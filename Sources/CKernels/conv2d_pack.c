// Weights as panels: for each 32 result channels and each tap, the tap's matrix [depth][32] in the order it is read.
#include "conv2d.h"
#include "microkernel.h"

enum { TASK_FLOATS = 64 * 1024 };

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t taps(const rk_conv2d *s) { return s->kernel_height * s->kernel_width; }

static size_t depth(const rk_conv2d *s, rk_pack pack) {
  return pack == RK_PACK_FORWARD ? s->in_channels : s->out_channels;
}

static size_t panels(const rk_conv2d *s, rk_pack pack) {
  return divide_up(pack == RK_PACK_FORWARD ? s->out_channels : s->in_channels, RK_PANEL);
}

size_t rk_conv2d_packed_count(const rk_conv2d *shape, rk_pack pack) {
  return panels(shape, pack) * taps(shape) * depth(shape, pack) * RK_PANEL;
}

size_t rk_conv2d_pack_tasks(const rk_conv2d *shape, rk_pack pack) {
  size_t matrices = panels(shape, pack) * taps(shape), tasks = rk_conv2d_packed_count(shape, pack) / TASK_FLOATS;
  return tasks < 1 ? 1 : tasks < matrices ? tasks : matrices;
}

void rk_conv2d_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, float *packed, size_t task) {
  const rk_microkernels *kernels = rk_microkernels_current();
  size_t tap_count = taps(shape), filter = tap_count * shape->in_channels, steps = depth(shape, pack);
  size_t matrices = panels(shape, pack) * tap_count, tasks = rk_conv2d_pack_tasks(shape, pack);
  for (size_t m = matrices * task / tasks; m < matrices * (task + 1) / tasks; m++) {
    size_t channel = m / tap_count * RK_PANEL, tap = m % tap_count;
    float *out = packed + m * steps * RK_PANEL;
    if (pack == RK_PACK_FORWARD) {
      size_t columns = shape->out_channels - channel < RK_PANEL ? shape->out_channels - channel : RK_PANEL;
      kernels->transpose(weight + channel * filter + tap * shape->in_channels, filter, columns, steps, out);
    } else {
      size_t columns = shape->in_channels - channel < RK_PANEL ? shape->in_channels - channel : RK_PANEL;
      kernels->copy(weight + tap * shape->in_channels + channel, filter, columns, steps, out);
    }
  }
}
