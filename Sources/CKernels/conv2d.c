#include "conv2d.h"

#include "conv2d_choices.h"
#include "conv2d_planes.h"
#include "conv2d_product.h"
#include "conv2d_winograd.h"

size_t rk_conv2d_forward_tasks(const rk_conv2d *shape) {
  rk_product product = rk_product_of(shape, false);
  return rk_winograd_pays(shape) ? rk_winograd_tasks(&product) : rk_product_tasks(&product);
}

void rk_conv2d_forward(const rk_conv2d *shape, const float *input, const float *packed, const rk_epilogue *epilogue,
                       float *output, size_t task) {
  rk_product product = rk_product_of(shape, false);
  if (rk_winograd_pays(shape)) return rk_winograd_run(&product, input, packed, epilogue, false, output, task);
  rk_product_run(&product, rk_microkernels_current()->by_rows, input, packed, epilogue, false, output, NULL, task);
}

size_t rk_conv2d_backward_input_tasks(const rk_conv2d *shape) {
  rk_product product = rk_product_of(shape, true);
  return rk_winograd_pays(shape) ? rk_winograd_tasks(&product) : rk_product_tasks(&product);
}

void rk_conv2d_backward_input(const rk_conv2d *shape, const float *grad_output, const float *packed, bool accumulate,
                              float *grad_input, size_t task) {
  rk_product product = rk_product_of(shape, true);
  if (rk_winograd_pays(shape)) {
    return rk_winograd_run(&product, grad_output, packed, NULL, accumulate, grad_input, task);
  }
  rk_product_run(&product, rk_microkernels_current()->by_rows, grad_output, packed, NULL, accumulate, grad_input, NULL,
                 task);
}

// Whether a weight that is used once is better packed by every task for itself.
static bool packing_inside_pays(const rk_conv2d *s, bool gradient) {
  enum { MOST_ROWS = 512, FEWEST_WEIGHTS = 1 << 18, FEWEST_SMALL_IMAGES = 64, ONE_TASK = 1 << 17 };
  // One task packs nothing twice.
  if (rk_output_rows(s) * rk_weight_count(s) <= ONE_TASK) return true;
  // Few images of 2x2 do not pay for transforming weights that are used once.
  bool small = rk_winograd_of(s) == &rk_winograd_2x2 && s->batch < FEWEST_SMALL_IMAGES;
  rk_product product = rk_product_of(s, gradient);
  return (small || !rk_winograd_pays(s)) && rk_direct_pays(s, MOST_ROWS, FEWEST_WEIGHTS) &&
         rk_product_direct_packs_once(&product);
}

bool rk_conv2d_forward_prefers_direct(const rk_conv2d *shape) { return packing_inside_pays(shape, false); }

bool rk_conv2d_backward_input_prefers_direct(const rk_conv2d *shape) {
  return rk_planes_gradient_pays(shape) || packing_inside_pays(shape, true);
}

size_t rk_conv2d_forward_direct_tasks(const rk_conv2d *shape) {
  rk_product product = rk_product_of(shape, false);
  return rk_product_direct_tasks(&product);
}

void rk_conv2d_forward_direct(const rk_conv2d *shape, const float *input, const float *weight,
                              const rk_epilogue *epilogue, float *output, size_t task) {
  rk_product product = rk_product_of(shape, false);
  rk_product_run_direct(&product, rk_microkernels_current()->by_rows, input, weight, epilogue, false, output, task);
}

size_t rk_conv2d_backward_input_direct_tasks(const rk_conv2d *shape) {
  if (rk_planes_gradient_pays(shape)) return rk_planes_gradient_tasks(shape);
  rk_product product = rk_product_of(shape, true);
  return rk_product_direct_tasks(&product);
}

void rk_conv2d_backward_input_direct(const rk_conv2d *shape, const float *grad_output, const float *weight,
                                     bool accumulate, float *grad_input, size_t task) {
  if (rk_planes_gradient_pays(shape)) {
    return rk_planes_gradient_run(shape, grad_output, weight, accumulate, grad_input, task);
  }
  rk_product product = rk_product_of(shape, true);
  rk_product_run_direct(&product, rk_microkernels_current()->by_rows, grad_output, weight, NULL, accumulate, grad_input,
                        task);
}
