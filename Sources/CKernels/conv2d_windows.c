#include "conv2d_windows.h"

#include "arithmetic.h"
#include "conv2d_choices.h"

rk_axis rk_height_axis(const rk_conv2d *s, bool gradient) {
  return (rk_axis){
      .result = gradient ? s->height : s->out_height,
      .source = gradient ? s->out_height : s->height,
      .kernel = s->kernel_height,
      .stride = s->stride_height,
      .padding = s->padding_height,
      .gradient = gradient,
  };
}

rk_axis rk_width_axis(const rk_conv2d *s, bool gradient) {
  return (rk_axis){
      .result = gradient ? s->width : s->out_width,
      .source = gradient ? s->out_width : s->width,
      .kernel = s->kernel_width,
      .stride = s->stride_width,
      .padding = s->padding_width,
      .gradient = gradient,
  };
}

static size_t subtract_or_zero(size_t a, size_t b) { return a > b ? a - b : 0; }

// The taps that the window of one result position meets.
typedef struct {
  size_t tap, taps;
  ptrdiff_t source;
} window;

static window window_at(const rk_axis *axis, size_t position) {
  if (!axis->gradient) {
    // Source: position * stride + tap - padding.
    size_t start = position * axis->stride;
    size_t first = subtract_or_zero(axis->padding, start);
    size_t end = minimum(axis->kernel, subtract_or_zero(axis->source + axis->padding, start));
    return (window){first, subtract_or_zero(end, first), (ptrdiff_t)(start + first) - (ptrdiff_t)axis->padding};
  }
  // Output positions y with y * stride + tap = position + padding; the smallest tap belongs to the largest of them.
  size_t padded = position + axis->padding;
  size_t last = minimum(axis->source - 1, padded / axis->stride);
  size_t first = (subtract_or_zero(padded + 1, axis->kernel) + axis->stride - 1) / axis->stride;
  return (window){padded - last * axis->stride, subtract_or_zero(last + 1, first), (ptrdiff_t)last};
}

static bool same_taps(const window *a, const window *b) {
  return a->taps == b->taps && (a->taps == 0 || a->tap == b->tap);
}

// How many positions from `start` on, `step` apart, meet the same taps as the first. Those that meet data and the same
// taps are neighbours, so that the last of them is found by halving.
static size_t count_same_windows(const rk_axis *axis, const window *first, size_t start, size_t step) {
  size_t count = 1, end = (axis->result - start + step - 1) / step;
  while (count < end) {
    size_t next = first->taps > 0 ? count + (end - count) / 2 : count;
    window other = window_at(axis, start + next * step);
    if (same_taps(&other, first)) {
      count = next + 1;
    } else {
      end = next;
    }
  }
  return count;
}

bool rk_next_span(const rk_axis *axis, rk_span *span) {
  // In the gradient, positions a stride apart meet the same taps: the axis is walked once for each remainder.
  size_t step = axis->gradient ? axis->stride : 1;
  size_t start = span->result + span->count * step;
  if (start >= axis->result) {
    start = span->result % step + 1;
    if (span->count == 0 || start >= step || start >= axis->result) return false;
  }

  window first = window_at(axis, start);
  size_t count = count_same_windows(axis, &first, start, step);
  *span = (rk_span){
      .result = start,
      .result_step = step,
      .count = count,
      .tap = first.tap,
      .tap_step = step,
      .taps = first.taps,
      .source = first.source,
      .source_step = axis->gradient ? 1 : (ptrdiff_t)axis->stride,
      .source_tap_step = axis->gradient ? -1 : 1,
  };
  return true;
}

// The first position of an axis that does not have the tap before the data. Strides of one are not divided by.
static size_t first_position(size_t tap, size_t stride, size_t padding) {
  size_t shift = subtract_or_zero(padding, tap);
  return stride == 1 ? shift : divide_up(shift, stride);
}

// Output positions [*begin, *end) of the axis whose window meets data with the tap.
static void find_tap_range(const rk_axis *forward, size_t tap, size_t *begin, size_t *end) {
  *begin = minimum(first_position(tap, forward->stride, forward->padding), forward->result);
  size_t reach = subtract_or_zero(forward->source + forward->padding, tap);
  *end = minimum((reach + forward->stride - 1) / forward->stride, forward->result);
  if (*end < *begin) *end = *begin;
}

rk_area rk_tap_area(const rk_conv2d *s, size_t tap) {
  rk_area area;
  rk_axis height = rk_height_axis(s, false), width = rk_width_axis(s, false);
  find_tap_range(&height, tap / s->kernel_width, &area.top, &area.bottom);
  find_tap_range(&width, tap % s->kernel_width, &area.left, &area.right);
  return area;
}

// Whether that range is not empty, asked for each tap of small convolutions: without looking for its end.
static bool meets_data(size_t tap, size_t stride, size_t padding, size_t size, size_t positions) {
  size_t first = first_position(tap, stride, padding);
  return first < positions && first * stride + tap < size + padding;
}

bool rk_conv2d_tap_meets_data(const rk_conv2d *s, size_t tap) {
  size_t kh = tap / s->kernel_width, kw = tap % s->kernel_width;
  return meets_data(kh, s->stride_height, s->padding_height, s->height, s->out_height) &&
         meets_data(kw, s->stride_width, s->padding_width, s->width, s->out_width);
}

size_t rk_met_tap_count(const rk_conv2d *s) {
  size_t count = 0;
  for (size_t tap = 0; tap < rk_tap_count(s); tap++) count += rk_conv2d_tap_meets_data(s, tap);
  return count;
}

size_t rk_met_tap(const rk_conv2d *s, size_t n) {
  size_t tap = 0;
  for (size_t met = 0; tap < rk_tap_count(s); tap++) {
    if (rk_conv2d_tap_meets_data(s, tap) && met++ == n) break;
  }
  return tap;
}

size_t rk_find_runs(const rk_conv2d *s, size_t tap, size_t first_row, size_t row_end, rk_run *runs) {
  rk_area area = rk_tap_area(s, tap);
  size_t kh = tap / s->kernel_width, kw = tap % s->kernel_width, line = s->out_width * s->batch, count = 0;
  for (size_t oh = maximum(area.top, first_row / line); oh < area.bottom && oh * line < row_end; oh++) {
    size_t row = maximum(oh * line + area.left * s->batch, first_row);
    size_t end = minimum(oh * line + area.right * s->batch, row_end);
    size_t h = oh * s->stride_height + kh - s->padding_height;
    size_t n = row % s->batch, w = row % line / s->batch * s->stride_width + kw - s->padding_width;
    while (row < end) {
      size_t length = s->stride_width == 1 ? end - row : minimum(end - row, s->batch - n);
      runs[count++] = (rk_run){row, (h * s->width + w) * s->batch + n, length};
      row += length;
      n = 0;
      w += s->stride_width;
    }
  }
  return count;
}
