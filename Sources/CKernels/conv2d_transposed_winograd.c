// Winograd's algorithm for 2x2 images, transposed: transformed kernels lie as the weight does, channels of the input
// side by side, and are the tiles' rows; the transformed images are packed. A few output channels go through all products
// at a time, so that their kernels, which are read once and in order, stay in the cache.
#include "arithmetic.h"
#include "conv2d_transposed.h"
#include "conv2d_winograd.h"
#include "scratch.h"
#include "winograd_transforms.h"

enum {
  SIDE = 3,
  PRODUCTS = SIDE * SIDE,
  POSITIONS = 4,
  MOST_CHANNELS = 512,
  // Input channels of a panel of images that are transformed at a time.
  PIECE_CHANNELS = RK_WINOGRAD_PIECE / RK_PANEL,
  // Arrays for the products begin in different sets of the cache.
  LINE = 64 / sizeof(float),
};

bool rk_transposed_winograd_possible(const rk_conv2d *s) {
  return rk_winograd_pays(s) && rk_winograd_of(s) == &rk_winograd_2x2 && s->in_channels <= MOST_CHANNELS;
}

// Packed: for each panel of images and each product, [in_channels][32].

static size_t panel_count(const rk_conv2d *s) { return divide_up(s->batch, RK_PANEL); }
static size_t product_floats(const rk_conv2d *s) { return s->in_channels * RK_PANEL; }

size_t rk_transposed_winograd_packed_count(const rk_conv2d *s) { return panel_count(s) * PRODUCTS * product_floats(s); }

static size_t piece_count(const rk_conv2d *s) { return divide_up(s->in_channels, PIECE_CHANNELS); }

size_t rk_transposed_winograd_pack_tasks(const rk_conv2d *s) {
  return minimum(panel_count(s) * piece_count(s), RK_TRANSPOSED_TASKS);
}

static void pack_piece(const rk_conv2d *s, const float *input, size_t panel, size_t channel, float *packed) {
  float turned[POSITIONS][RK_WINOGRAD_PIECE];
  const float *patch[POSITIONS];
  size_t image = panel * RK_PANEL, channels = minimum(s->in_channels - channel, PIECE_CHANNELS);
  for (size_t q = 0; q < POSITIONS; q++) {
    rk_microkernels_current()->transpose(input + (q * s->batch + image) * s->in_channels + channel, s->in_channels,
                                         minimum(s->batch - image, RK_PANEL), channels, turned[q]);
    patch[q] = turned[q];
  }
  for (size_t row = 0; row < SIDE; row++) {
    float *out = packed + (panel * PRODUCTS + row * SIDE) * product_floats(s) + channel * RK_PANEL;
    rk_winograd_2x2.transform_patch(patch, row, 1, 0, channels * RK_PANEL, out, product_floats(s));
  }
}

void rk_transposed_winograd_pack(const rk_conv2d *s, const float *input, float *packed, size_t task) {
  size_t pieces = piece_count(s), all = panel_count(s) * pieces, tasks = rk_transposed_winograd_pack_tasks(s);
  for (size_t n = all * task / tasks; n < all * (task + 1) / tasks; n++) {
    pack_piece(s, input, n / pieces, n % pieces * PIECE_CHANNELS, packed);
  }
}

typedef struct {
  const rk_conv2d *shape;
  const float *packed, *weight;
  size_t kernel_stride;  // floats between the arrays of two products
  float *kernels;        // [products][channels of a tile][in_channels]
  float *sums;           // [products][channels of a tile][images]
  float *results;        // [positions][channels of a block][images]
} task;

static void transform_kernels(const task *t, size_t channel, size_t channels) {
  const float *taps[RK_WINOGRAD_TAPS];
  size_t depth = t->shape->in_channels;
  for (size_t k = 0; k < RK_WINOGRAD_TAPS; k++) taps[k] = t->weight + (k * t->shape->out_channels + channel) * depth;
  rk_winograd_2x2.transform_taps(taps, channels * depth, t->kernels, t->kernel_stride);
}

// `channels` of the block from its channel `c` on, whose kernels are transformed.
static void multiply(const task *t, const rk_block *b, size_t c, size_t channels) {
  size_t depth = t->shape->in_channels, c_rows[RK_TILE_ROWS], sum_stride = RK_TILE_ROWS * RK_TILE_COLUMNS;
  rk_stretch stretch = {0, 0, depth};
  for (size_t r = 0; r < channels; r++) c_rows[r] = r * RK_TILE_COLUMNS;
  for (size_t q = 0; q < PRODUCTS; q++) {
    rk_tile tile = {
        .rows = channels,
        .columns = b->rows,
        .stretches = &stretch,
        .stretch_count = 1,
        .short_sums = rk_winograd_2x2.short_sums,
        .a = t->kernels + q * t->kernel_stride,
        .a_stride = (ptrdiff_t)depth,
        .b = t->packed + (b->row / RK_PANEL * PRODUCTS + q) * product_floats(t->shape),
        .b_stride = RK_PANEL,
        .b_panel = (ptrdiff_t)(PRODUCTS * product_floats(t->shape)),
        .c = t->sums + q * sum_stride,
        .c_rows = c_rows,
    };
    rk_microkernels_current()->by_rows(&tile);
  }
  rk_winograd_outputs outputs = {
      .sums = t->sums,
      .stride = sum_stride,
      .width = RK_TILE_COLUMNS,
      .rows = channels,
      .columns = b->rows,
      .result_stride = RK_TILE_COLUMNS,
  };
  for (size_t q = 0; q < POSITIONS; q++) {
    outputs.results[q] = t->results + (q * RK_BLOCK_CHANNELS + c) * RK_TILE_COLUMNS;
  }
  rk_winograd_2x2.transform_sums(&outputs);
}

void rk_transposed_winograd_run(const rk_conv2d *s, const float *packed, const float *weight,
                                const rk_epilogue *epilogue, float *output, size_t channel, size_t channel_end) {
  task t = {.shape = s, .packed = packed, .weight = weight};
  t.kernel_stride = RK_TILE_ROWS * s->in_channels + LINE;
  size_t result_floats = POSITIONS * RK_BLOCK_CHANNELS * RK_TILE_COLUMNS;
  size_t sum_floats = PRODUCTS * RK_TILE_ROWS * RK_TILE_COLUMNS;
  t.results = rk_scratch((result_floats + sum_floats + PRODUCTS * t.kernel_stride) * sizeof(float));
  t.sums = t.results + result_floats;
  t.kernels = t.sums + sum_floats;

  for (rk_block b = {.channel = channel}; b.channel < channel_end; b.channel += b.channels) {
    b.channels = minimum(channel_end - b.channel, RK_BLOCK_CHANNELS);
    for (b.row = 0; b.row < s->batch; b.row += b.rows) {
      b.rows = minimum(s->batch - b.row, RK_TILE_COLUMNS);
      for (size_t c = 0, channels; c < b.channels; c += channels) {
        channels = minimum(b.channels - c, RK_TILE_ROWS);
        transform_kernels(&t, b.channel + c, channels);
        multiply(&t, &b, c, channels);
      }
      for (size_t q = 0; q < POSITIONS; q++) {
        rk_block part = b;
        part.row += q * s->batch;
        rk_write_turned(s, &part, t.results + q * RK_BLOCK_CHANNELS * RK_TILE_COLUMNS, epilogue, output);
      }
    }
  }
}
