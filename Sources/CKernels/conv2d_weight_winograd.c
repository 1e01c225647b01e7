#include "conv2d_weight_winograd.h"

#include "arithmetic.h"
#include "conv2d_winograd.h"
#include "microkernel.h"
#include "scratch.h"
#include "winograd_transforms.h"

enum {
  MOST_PRODUCTS = RK_WINOGRAD_MOST_PATCH,
  MOST_SIDE = RK_WINOGRAD_MOST_SIDE,
  // Channels of either side that a task takes, so that its sums stay in the cache, and the fewest of the output's.
  MOST_CHANNELS = RK_TILE_COLUMNS,
  FEWEST_CHANNELS = 32,
  FEWEST_TASKS = 8,
  // Tiles, of all images, that are transformed at a time.
  BLOCK_ROWS = 200,
  LINE = 64 / sizeof(float),
  // Floats between the arrays of two products, which begin in different sets of the cache.
  BLOCK_STRIDE = BLOCK_ROWS * MOST_CHANNELS + LINE,
  SUM_STRIDE = MOST_CHANNELS * MOST_CHANNELS + LINE,
};

bool rk_winograd_weight_pays(const rk_conv2d *s) {
  // With fewer channels there are few tasks. Transforming the sums costs as much as SUM_ROWS more rows, transforming the
  // rows about a quarter of their products.
  enum { FEWEST = 128, SUM_ROWS = 40 };
  return rk_winograd_possible(s) && s->in_channels >= FEWEST && s->out_channels >= FEWEST &&
         s->in_channels % RK_WHOLE_COLUMNS == 0 &&
         rk_defined_products(s) * 4 > (rk_winograd_rows(s) + SUM_ROWS) * rk_winograd_of(s)->products * 5;
}

// A task is a group of output channels and one of input channels.
typedef struct {
  size_t out_groups, in_groups;
} partition;

static partition partition_of(const rk_conv2d *s) {
  partition part = {divide_up(s->out_channels, MOST_CHANNELS), divide_up(s->in_channels, MOST_CHANNELS)};
  while (part.out_groups * part.in_groups < FEWEST_TASKS && s->out_channels / part.out_groups >= 2 * FEWEST_CHANNELS) {
    part.out_groups *= 2;
  }
  return part;
}

size_t rk_winograd_weight_tasks(const rk_conv2d *shape) {
  partition part = partition_of(shape);
  return part.out_groups * part.in_groups;
}

typedef struct {
  const rk_conv2d *shape;
  const rk_winograd_transforms *transforms;
  const float *input, *grad_output;
  size_t out_channel, out_count, in_channel, in_count;
  size_t row, row_end;  // the block: rows are numbered by tile (height, width) and image
  float *patches, *gradients;  // [side][rows][in_count] and [side][rows][out_count]
  float *sums;                 // [side * side][out_count][in_count]
} task;

// Row `patch_row` of the block's transformed patches and gradients.
static void transform(task *t, size_t patch_row) {
  const rk_conv2d *s = t->shape;
  const rk_winograd_transforms *w = t->transforms;
  const rk_images input = {t->input, s->height, s->width, s->batch, s->in_channels};
  const rk_images output = {t->grad_output, s->out_height, s->out_width, s->batch, s->out_channels};
  for (size_t row = t->row, count; row < t->row_end; row += count) {
    rk_winograd_segment at = rk_winograd_segment_at(s->out_width, s->batch, row, t->row_end);
    count = at.count;
    const float *patch[RK_WINOGRAD_MOST_PATCH], *gradient[RK_WINOGRAD_RESULTS];
    rk_find_square(&input, at.top - s->padding_height + w->patch_inset, at.left - s->padding_width + w->patch_inset,
                   w->patch_side, at.image, t->in_channel, patch);
    rk_find_square(&output, at.top, at.left, RK_WINOGRAD_TILE, at.image, t->out_channel, gradient);
    w->transform_patch(patch, patch_row, count, s->in_channels, t->in_count,
                       t->patches + (row - t->row) * t->in_count, BLOCK_STRIDE);
    w->transform_gradient(gradient, patch_row, count, s->out_channels, t->out_count,
                          t->gradients + (row - t->row) * t->out_count, BLOCK_STRIDE);
  }
}

// Adds product q of the block to its sums.
static void multiply(task *t, size_t q) {
  rk_stretch stretch = {0, 0, t->row_end - t->row};
  size_t tiles = divide_up(t->out_count, RK_TILE_ROWS), c_rows[RK_TILE_ROWS];
  for (size_t r = 0; r < RK_TILE_ROWS; r++) c_rows[r] = r * t->in_count;
  for (size_t k = 0; k < tiles; k++) {
    size_t channel = t->out_count * k / tiles;
    rk_tile tile = {
        .rows = t->out_count * (k + 1) / tiles - channel,
        .columns = t->in_count,
        .stretches = &stretch,
        .stretch_count = 1,
        .a = t->gradients + q % t->transforms->side * BLOCK_STRIDE + channel,
        .a_stride = (ptrdiff_t)t->out_count,
        .b = t->patches + q % t->transforms->side * BLOCK_STRIDE,
        .b_stride = (ptrdiff_t)t->in_count,
        .b_panel = RK_PANEL,
        .short_sums = t->transforms->short_sums,
        .c = t->sums + q * SUM_STRIDE + channel * t->in_count,
        .c_rows = c_rows,
        .accumulate = t->row > 0,
    };
    rk_microkernels_current()->by_columns(&tile);
  }
}

void rk_winograd_weight_run(const rk_conv2d *s, const float *input, const float *grad_output, bool accumulate,
                            float *grad_weight, size_t number) {
  partition part = partition_of(s);
  size_t out_group = number / part.in_groups, in_group = number % part.in_groups;
  task t;
  t.patches = rk_scratch((2 * MOST_SIDE * BLOCK_STRIDE + MOST_PRODUCTS * SUM_STRIDE) * sizeof(float));
  t.gradients = t.patches + MOST_SIDE * BLOCK_STRIDE;
  t.sums = t.gradients + MOST_SIDE * BLOCK_STRIDE;
  t.transforms = rk_winograd_of(s);
  size_t side = t.transforms->side;
  t.shape = s;
  t.input = input;
  t.grad_output = grad_output;
  t.out_channel = s->out_channels * out_group / part.out_groups;
  t.out_count = s->out_channels * (out_group + 1) / part.out_groups - t.out_channel;
  t.in_channel = in_group * MOST_CHANNELS;
  t.in_count = minimum(s->in_channels - t.in_channel, MOST_CHANNELS);
  size_t rows = rk_winograd_rows(s), blocks = divide_up(rows, BLOCK_ROWS);
  for (size_t block = 0; block < blocks; block++) {
    t.row = rows * block / blocks;
    t.row_end = rows * (block + 1) / blocks;
    for (size_t patch_row = 0; patch_row < side; patch_row++) {
      transform(&t, patch_row);
      for (size_t j = 0; j < side; j++) multiply(&t, patch_row * side + j);
    }
  }
  float *results[RK_WINOGRAD_TAPS];
  for (size_t tap = 0; tap < RK_WINOGRAD_TAPS; tap++) {
    results[tap] = grad_weight + (tap * s->out_channels + t.out_channel) * s->in_channels + t.in_channel;
  }
  t.transforms->transform_kernel_sums(t.sums, SUM_STRIDE, t.out_count, t.in_count, accumulate, results, s->in_channels);
}
