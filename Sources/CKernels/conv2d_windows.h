// Which taps of the kernel meet data, position by position.
//
// The result of a convolution (the output of the forward pass, the input gradient of the backward pass) falls into
// rectangles of positions whose windows meet the same taps. On each of them the convolution is a sum over those taps of
// plain matrix products, and padding is never multiplied.
#ifndef RESIDUAL_CONV2D_WINDOWS_H
#define RESIDUAL_CONV2D_WINDOWS_H

#include "conv2d.h"

/// The convolution along one axis. `gradient`: the result is the input and the source the output.
typedef struct {
  size_t result, source;  // positions
  size_t kernel, stride, padding;
  bool gradient;
} rk_axis;

/// Evenly spaced result positions that meet the same taps: tap j of result position i reads the source position
/// source + i * source_step + j * source_tap_step and is number tap + j * tap_step of the kernel.
typedef struct {
  size_t result, result_step, count;
  size_t tap, tap_step, taps;
  ptrdiff_t source, source_step, source_tap_step;
} rk_span;

rk_axis rk_height_axis(const rk_conv2d *shape, bool gradient);
rk_axis rk_width_axis(const rk_conv2d *shape, bool gradient);

/// Moves to the next span of the axis; a zeroed span is before the first. False after the last.
bool rk_next_span(const rk_axis *axis, rk_span *span);

/// Output positions whose window meets data with one tap.
typedef struct {
  size_t top, bottom, left, right;
} rk_area;

rk_area rk_tap_area(const rk_conv2d *shape, size_t tap);

/// How many taps meet data at all, and the number of the n-th of them.
size_t rk_met_tap_count(const rk_conv2d *shape);
size_t rk_met_tap(const rk_conv2d *shape, size_t n);

/// `count` output rows from output_row on that meet the input rows from input_row on.
typedef struct {
  size_t output_row, input_row, count;
} rk_run;

/// The output rows [row, row_end) that meet data with the tap, at most row_end - row runs; returns how many.
size_t rk_find_runs(const rk_conv2d *shape, size_t tap, size_t row, size_t row_end, rk_run *runs);

#endif
