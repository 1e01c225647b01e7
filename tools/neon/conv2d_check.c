// Compares the convolution on every instruction set of this processor with the plain loops, over awkward shapes.
// For processors that the Swift tests don't run on: tools/neon-check runs it on an emulated one.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

static int failures = 0;

static float random_float(void) {
  static unsigned state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / (float)(1 << 23) - 1;
}

static float *random_floats(size_t count) {
  float *x = malloc((count + 1) * sizeof(float));
  if (x == NULL) abort();
  for (size_t i = 0; i < count; i++) x[i] = random_float();
  return x;
}

// Overwrites the results with NaN, so that an element that is never written shows.
static void spoil(float *x, size_t count) { memset(x, 0xff, count * sizeof(float)); }

// A weight's gradient need not be written where it is zero: at taps that meet only padding.
static void spoil_weights(const rk_conv2d *s, float *gradient) {
  size_t count = s->out_channels * s->in_channels;
  for (size_t tap = 0; tap < s->kernel_height * s->kernel_width; tap++, gradient += count) {
    memset(gradient, rk_conv2d_tap_meets_data(s, tap) ? 0xff : 0, count * sizeof(float));
  }
}

static void compare(const char *what, const rk_conv2d *s, const float *actual, const float *expected, size_t count,
                    size_t terms) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    double error = fabs((double)actual[i] - expected[i]);
    if (!(error <= worst)) worst = isnan(error) ? INFINITY : error;
  }
  if (worst <= 4e-6 * sqrt((double)terms)) return;
  failures++;
  printf("%s on %s: error %g, batch %zu, %zux%zu, %zu -> %zu, kernel %zux%zu\n", what,
         rk_isa_name(rk_isa_current()), worst, s->batch, s->height, s->width, s->in_channels, s->out_channels,
         s->kernel_height, s->kernel_width);
}

// With operands rounded to bfloat16, every instruction set gives the bits of the portable one; AMX, which does not, is not
// on the processors this is for.
static void check_bf16(const rk_conv2d *s, const float *x, const float *w, const float *g, size_t counts[3]) {
  const char *what[] = {"forward", "input gradient", "weight gradient"};
  float *expected[3], *actual[3];
  for (int i = 0; i < 3; i++) expected[i] = random_floats(counts[i]), actual[i] = random_floats(counts[i]);
  uint16_t *x16 = malloc(counts[1] * 2), *g16 = malloc(counts[0] * 2);
  if (x16 == NULL || g16 == NULL) abort();
  rk_float_to_bfloat16(x, counts[1], x16);
  rk_float_to_bfloat16(g, counts[0], g16);
  for (int isa = RK_ISA_PORTABLE; isa <= RK_ISA_NEON; isa++) {
    if (isa == RK_ISA_AMX || !rk_isa_select((rk_isa)isa)) continue;
    float **to = isa == RK_ISA_PORTABLE ? expected : actual;
    for (int i = 0; i < 2; i++) spoil(to[i], counts[i]);
    spoil_weights(s, to[2]);
    for (size_t t = rk_conv2d_bf16_forward_direct_tasks(s); t-- > 0;)
      rk_conv2d_bf16_forward_direct(s, x16, w, NULL, to[0], t);
    for (size_t t = rk_conv2d_bf16_backward_input_direct_tasks(s); t-- > 0;)
      rk_conv2d_bf16_backward_input_direct(s, g16, w, false, to[1], t);
    for (size_t t = rk_conv2d_bf16_backward_weight_tasks(s); t-- > 0;)
      rk_conv2d_bf16_backward_weight(s, x16, g16, false, to[2], t);
    for (int i = 0; i < 3 && isa != RK_ISA_PORTABLE; i++) {
      if (memcmp(to[i], expected[i], counts[i] * sizeof(float)) == 0) continue;
      failures++;
      printf("%s in bfloat16 on %s: other bits than the portable ones, batch %zu, %zux%zu, %zu -> %zu\n", what[i],
             rk_isa_name(rk_isa_current()), s->batch, s->height, s->width, s->in_channels, s->out_channels);
    }
  }
  for (int i = 0; i < 3; i++) free(expected[i]), free(actual[i]);
  free(x16);
  free(g16);
}

static void check(rk_conv2d s) {
  s.out_height = (s.height + 2 * s.padding_height - s.kernel_height) / s.stride_height + 1;
  s.out_width = (s.width + 2 * s.padding_width - s.kernel_width) / s.stride_width + 1;
  size_t inputs = s.height * s.width * s.batch * s.in_channels;
  size_t outputs = s.out_height * s.out_width * s.batch * s.out_channels;
  size_t taps = s.kernel_height * s.kernel_width, weights = s.out_channels * taps * s.in_channels;
  float *x = random_floats(inputs), *w = random_floats(weights), *g = random_floats(outputs);
  float *bias = random_floats(s.out_channels);
  float *y = random_floats(outputs), *wanted_y = random_floats(outputs);
  float *gx = random_floats(inputs), *wanted_gx = random_floats(inputs);
  float *gw = random_floats(weights), *wanted_gw = random_floats(weights);
  float *packed = random_floats(rk_conv2d_packed_count(&s, RK_PACK_FORWARD));
  float *packed_back = random_floats(rk_conv2d_packed_count(&s, RK_PACK_BACKWARD_INPUT));
  rk_conv2d_forward_loops(&s, x, w, bias, wanted_y);
  rk_conv2d_backward_input_loops(&s, g, w, wanted_gx);
  rk_conv2d_backward_weight_loops(&s, x, g, wanted_gw);

  const rk_epilogue epilogue = {.bias = bias};
  for (int isa = RK_ISA_PORTABLE; isa <= RK_ISA_NEON; isa++) {
    if (!rk_isa_select((rk_isa)isa)) continue;
    for (size_t t = 0; t < rk_conv2d_pack_tasks(&s, RK_PACK_FORWARD); t++)
      rk_conv2d_pack(&s, RK_PACK_FORWARD, w, packed, t);
    for (size_t t = 0; t < rk_conv2d_pack_tasks(&s, RK_PACK_BACKWARD_INPUT); t++)
      rk_conv2d_pack(&s, RK_PACK_BACKWARD_INPUT, w, packed_back, t);

    spoil(y, outputs);
    for (size_t t = rk_conv2d_forward_tasks(&s); t-- > 0;) rk_conv2d_forward(&s, x, packed, &epilogue, y, t);
    compare("forward", &s, y, wanted_y, outputs, taps * s.in_channels);
    spoil(y, outputs);
    for (size_t t = rk_conv2d_forward_direct_tasks(&s); t-- > 0;)
      rk_conv2d_forward_direct(&s, x, w, &epilogue, y, t);
    compare("forward, direct", &s, y, wanted_y, outputs, taps * s.in_channels);
    if (rk_conv2d_forward_can_be_transposed(&s)) {
      float *rows = random_floats(rk_conv2d_packed_rows_count(&s));
      for (size_t t = rk_conv2d_pack_rows_tasks(&s); t-- > 0;) rk_conv2d_pack_rows(&s, x, rows, t);
      spoil(y, outputs);
      for (size_t t = rk_conv2d_forward_transposed_tasks(&s); t-- > 0;)
        rk_conv2d_forward_transposed(&s, rows, w, &epilogue, y, t);
      compare("forward, transposed", &s, y, wanted_y, outputs, taps * s.in_channels);
      free(rows);
    }

    spoil(gx, inputs);
    for (size_t t = rk_conv2d_backward_input_tasks(&s); t-- > 0;)
      rk_conv2d_backward_input(&s, g, packed_back, false, gx, t);
    compare("input gradient", &s, gx, wanted_gx, inputs, taps * s.out_channels);
    spoil(gx, inputs);
    for (size_t t = rk_conv2d_backward_input_direct_tasks(&s); t-- > 0;)
      rk_conv2d_backward_input_direct(&s, g, w, false, gx, t);
    compare("input gradient, direct", &s, gx, wanted_gx, inputs, taps * s.out_channels);

    spoil_weights(&s, gw);
    for (size_t t = rk_conv2d_backward_weight_tasks(&s); t-- > 0;)
      rk_conv2d_backward_weight(&s, x, g, false, gw, t);
    compare("weight gradient", &s, gw, wanted_gw, weights, outputs / s.out_channels);
  }
  if (rk_conv2d_bf16_supported(&s)) check_bf16(&s, x, w, g, (size_t[]){outputs, inputs, weights});
  float *all[] = {x, w, g, bias, y, wanted_y, gx, wanted_gx, gw, wanted_gw, packed, packed_back};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int main(void) {
  // Batch, height, width, channels in and out, kernel, stride, padding.
  static const rk_conv2d shapes[] = {
      {8, 3, 5, 4, 2, 3, 3, 1, 1, 3, 3, 0, 0},      {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
      {3, 1, 1, 33, 100, 3, 3, 1, 1, 1, 1, 0, 0},   {5, 2, 2, 64, 33, 3, 3, 1, 1, 1, 1, 0, 0},
      {13, 7, 7, 3, 64, 7, 7, 2, 2, 3, 3, 0, 0},    {1, 9, 10, 5, 33, 3, 3, 1, 1, 1, 1, 0, 0},
      {1, 9, 10, 16, 48, 3, 3, 2, 2, 1, 1, 0, 0},   {2, 6, 5, 700, 3, 1, 1, 1, 2, 0, 0, 0, 0},
      {3, 5, 7, 33, 5, 2, 3, 3, 2, 1, 2, 0, 0},     {40, 5, 5, 32, 20, 3, 3, 1, 1, 1, 1, 0, 0},
      {2, 2, 3, 20, 300, 5, 5, 1, 1, 2, 2, 0, 0},   {7, 8, 8, 64, 64, 1, 1, 2, 2, 0, 0, 0, 0},
      {5, 8, 8, 33, 70, 3, 3, 1, 1, 1, 1, 0, 0},    {1, 12, 15, 32, 64, 3, 3, 1, 1, 1, 1, 0, 0},
      {1, 9, 13, 3, 40, 7, 7, 2, 2, 3, 3, 0, 0},    {2, 15, 13, 144, 130, 3, 3, 1, 1, 0, 0, 0, 0},
      {130, 2, 2, 128, 129, 3, 3, 1, 1, 1, 1, 0, 0}, {3, 7, 20, 3, 1200, 3, 3, 2, 1, 1, 1, 0, 0},
      {70, 4, 19, 2, 5, 3, 3, 1, 1, 1, 1, 0, 0},     {1, 3, 200, 4, 9, 5, 4, 1, 3, 2, 6, 0, 0},
      {4, 5, 6, 1, 7, 1, 1, 2, 2, 0, 0, 0, 0},       {70, 3, 3, 1024, 30, 1, 1, 2, 2, 0, 0, 0, 0},
      {3, 7, 7, 128, 132, 3, 3, 2, 2, 1, 1, 0, 0},   {70, 2, 2, 70, 1024, 1, 1, 1, 1, 0, 0, 0, 0},
      {33, 2, 2, 270, 36, 3, 3, 2, 2, 1, 1, 0, 0},   {5, 1, 1, 3, 40, 1, 1, 5, 5, 1, 1, 0, 0},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(shapes[i]);
  printf("%zu shapes on", sizeof shapes / sizeof *shapes);
  for (int isa = RK_ISA_PORTABLE; isa <= RK_ISA_NEON; isa++) {
    if (rk_isa_supported((rk_isa)isa)) printf(" %s", rk_isa_name((rk_isa)isa));
  }
  printf(", %d failures\n", failures);
  return failures > 0;
}
