#include "pool.h"

#include <math.h>
#include <string.h>

#include "arithmetic.h"
#include "dispatch.h"

/// Elements of a position that are worked on at a time: their running values stay in the first-level cache.
enum { rk_pool_tile = 256 };

typedef struct {
  size_t begin, end;
} range;

/// The taps of output `position` that meet the input; the input position is position * stride + tap - padding.
static inline range taps(size_t position, size_t stride, size_t padding, size_t kernel, size_t size) {
  size_t start = position * stride;
  size_t begin = start < padding ? padding - start : 0;
  size_t end = size + padding > start ? minimum(kernel, size + padding - start) : 0;
  return (range){begin, end};
}

/// The output positions whose window meets input `position`.
static inline range windows(size_t position, size_t stride, size_t padding, size_t kernel, size_t out_size) {
  size_t reach = position + padding;
  size_t begin = reach < kernel ? 0 : (reach - kernel) / stride + 1;
  return (range){begin, minimum(out_size, reach / stride + 1)};
}

RK_LOOP void max_pool_tile(const rk_pool2d *s, const float *x, size_t out_row, size_t out_column, size_t count,
                           float *y, uint8_t *winners) {
  range rows = taps(out_row, s->stride_height, s->padding_height, s->kernel_height, s->height);
  range columns = taps(out_column, s->stride_width, s->padding_width, s->kernel_width, s->width);
  float best[rk_pool_tile];
  int32_t winner[rk_pool_tile];
  int32_t first_tap = (int32_t)(rows.begin * s->kernel_width + columns.begin);
  for (size_t i = 0; i < count; i++) {
    best[i] = -INFINITY;
    winner[i] = first_tap;
  }
  for (size_t kh = rows.begin; kh < rows.end; kh++) {
    size_t row = out_row * s->stride_height + kh - s->padding_height;
    for (size_t kw = columns.begin; kw < columns.end; kw++) {
      size_t column = out_column * s->stride_width + kw - s->padding_width;
      const float *input = x + (row * s->width + column) * s->block;
      int32_t tap = (int32_t)(kh * s->kernel_width + kw);
      for (size_t i = 0; i < count; i++) {
        bool wins = (input[i] > best[i]) | (input[i] != input[i]);
        best[i] = wins ? input[i] : best[i];
        winner[i] = wins ? tap : winner[i];
      }
    }
  }
  memcpy(y, best, count * sizeof *y);
  if (winners) {
    for (size_t i = 0; i < count; i++) winners[i] = (uint8_t)winner[i];
  }
}

RK_LOOP void max_pool(const rk_pool2d *s, const float *x, size_t row_begin, size_t row_end, float *y,
                      uint8_t *winners) {
  for (size_t row = row_begin; row < row_end; row++) {
    for (size_t column = 0; column < s->out_width; column++) {
      size_t position = (row * s->out_width + column) * s->block;
      for (size_t begin = 0; begin < s->block; begin += rk_pool_tile) {
        max_pool_tile(s, x + begin, row, column, minimum(rk_pool_tile, s->block - begin), y + position + begin,
                      winners ? winners + position + begin : NULL);
      }
    }
  }
}

RK_LOOP void max_pool_backward_tile(const rk_pool2d *s, const float *grad_y, const uint8_t *winners, size_t row,
                                    size_t column, size_t count, float *grad_x) {
  range out_rows = windows(row, s->stride_height, s->padding_height, s->kernel_height, s->out_height);
  range out_columns = windows(column, s->stride_width, s->padding_width, s->kernel_width, s->out_width);
  memset(grad_x, 0, count * sizeof *grad_x);
  for (size_t oh = out_rows.begin; oh < out_rows.end; oh++) {
    size_t kh = row + s->padding_height - oh * s->stride_height;
    for (size_t ow = out_columns.begin; ow < out_columns.end; ow++) {
      size_t kw = column + s->padding_width - ow * s->stride_width;
      size_t position = (oh * s->out_width + ow) * s->block;
      const float *gradient = grad_y + position;
      const uint8_t *winner = winners + position;
      uint8_t tap = (uint8_t)(kh * s->kernel_width + kw);
      RK_INDEPENDENT
      for (size_t i = 0; i < count; i++) grad_x[i] += winner[i] == tap ? gradient[i] : 0;
    }
  }
}

RK_LOOP void max_pool_backward(const rk_pool2d *s, const float *grad_y, const uint8_t *winners, size_t row_begin,
                               size_t row_end, float *grad_x) {
  for (size_t row = row_begin; row < row_end; row++) {
    for (size_t column = 0; column < s->width; column++) {
      float *position = grad_x + (row * s->width + column) * s->block;
      for (size_t begin = 0; begin < s->block; begin += rk_pool_tile) {
        max_pool_backward_tile(s, grad_y + begin, winners + begin, row, column,
                               minimum(rk_pool_tile, s->block - begin), position + begin);
      }
    }
  }
}

RK_LOOP void global_average(const float *x, size_t positions, size_t block, size_t begin, size_t end, float *y) {
  for (size_t start = begin; start < end; start += rk_pool_tile) {
    size_t count = minimum(rk_pool_tile, end - start);
    float sum[rk_pool_tile] = {0};
    size_t position = 0;
    for (; position + 4 <= positions; position += 4) {
      const float *a = x + position * block + start, *b = a + block, *c = b + block, *d = c + block;
      for (size_t i = 0; i < count; i++) sum[i] += (a[i] + b[i]) + (c[i] + d[i]);
    }
    for (; position < positions; position++) {
      for (size_t i = 0; i < count; i++) sum[i] += x[position * block + start + i];
    }
    for (size_t i = 0; i < count; i++) y[start + i] = sum[i] / (float)positions;
  }
}

RK_DISPATCH(void, rk_max_pool2d, max_pool,
            (const rk_pool2d *shape, const float *x, size_t row_begin, size_t row_end, float *y, uint8_t *winners),
            (shape, x, row_begin, row_end, y, winners))
RK_DISPATCH(void, rk_max_pool2d_backward, max_pool_backward,
            (const rk_pool2d *shape, const float *grad_y, const uint8_t *winners, size_t row_begin, size_t row_end,
             float *grad_x),
            (shape, grad_y, winners, row_begin, row_end, grad_x))
RK_DISPATCH(void, rk_global_average, global_average,
            (const float *x, size_t positions, size_t block, size_t begin, size_t end, float *y),
            (x, positions, block, begin, end, y))
