// The innermost products of a convolution: a tile of at most 12 x 64 results, parts of which are held in registers
// while a sum runs.
#ifndef RESIDUAL_MICROKERNEL_H
#define RESIDUAL_MICROKERNEL_H

#include <stdbool.h>
#include <stddef.h>

/// Packed weights are panels of RK_PANEL columns; a tile covers up to two of them.
/// Of a wide tile at most RK_PART_ROWS rows are in registers at a time.
/// B is read in pieces of RK_WHOLE_COLUMNS.
enum { RK_TILE_ROWS = 12, RK_PART_ROWS = 6, RK_PANEL = 32, RK_TILE_COLUMNS = 2 * RK_PANEL, RK_WHOLE_COLUMNS = 16 };
enum { RK_FETCH_PARTS = 8 };
/// Sums that stay in registers for long lose what is small beside them: after this many products they are added to a
/// total and start anew. This keeps rounding errors at the level of sums of that length.
enum { RK_LONGEST_SUM = 64, RK_SHORT_SUM = 32 };
#define RK_FLOAT_SUM(tile) ((tile)->short_sums ? RK_SHORT_SUM : RK_LONGEST_SUM)

/// A stretch of the sum: `depth` steps that start at offset `a` from the tile's A and at `b` from its B.
typedef struct {
  ptrdiff_t a, b;
  size_t depth;
} rk_stretch;

/// C(r, c) = sum over all steps k of all stretches of A(r, k) * B(k, c), then what the last five fields say.
typedef struct {
  size_t rows, columns;         // 1...RK_TILE_ROWS, 1...RK_TILE_COLUMNS
  const rk_stretch *stretches;  // by_rows: of one depth
  size_t stretch_count;
  bool short_sums;  // of RK_SHORT_SUM products, not RK_LONGEST_SUM
  const float *a;  // by_rows: A(r, k) = a[r * a_stride + k]; by_columns: A(r, k) = a[k * a_stride + r]
  ptrdiff_t a_stride;
  // B(k, c) = b[k * b_stride + c] for c < RK_PANEL, the rest from b[b_panel] on; `columns` rounded up to whole pieces
  // can be read. by_rows: b_stride is RK_PANEL.
  const float *b;
  ptrdiff_t b_stride, b_panel;
  float *c;  // C(r, c) = c[c_rows[r] + c]
  const size_t *c_rows;
  bool fetches_rows;      // by_rows: have the rows of A that follow the tile's come to the cache meanwhile
  // by_rows: NULL, or a B of the same shape that is wanted soon: while RK_PART_ROWS rows are multiplied, one part in
  // RK_FETCH_PARTS of it comes to the cache.
  const float *next_b;
  bool accumulate;        // add to what C holds
  const float *scale;     // [columns], multiplies every row, or NULL
  const float *bias;      // [columns], added to every row, or NULL
  const float *residual;  // laid out as C, added, or NULL
  bool relu;
} rk_tile;

/// What an instruction set implements.
typedef struct {
  void (*by_rows)(const rk_tile *tile);
  void (*by_columns)(const rk_tile *tile);
  /// out[k * RK_PANEL + c] = x[c * stride + k] for k < depth; zero for columns <= c < RK_PANEL.
  void (*transpose)(const float *x, size_t stride, size_t columns, size_t depth, float *out);
  /// out[k * RK_PANEL + c] = x[k * stride + c] for k < depth; zero for columns <= c < RK_PANEL.
  void (*copy)(const float *x, size_t stride, size_t columns, size_t depth, float *out);
} rk_microkernels;

extern const rk_microkernels rk_microkernels_portable;
#if defined(__x86_64__)
extern const rk_microkernels rk_microkernels_avx2, rk_microkernels_avx512;
#elif defined(__aarch64__)
extern const rk_microkernels rk_microkernels_neon;
#endif

/// The microkernels of the instruction set in use.
const rk_microkernels *rk_microkernels_current(void);

/// Finishes the sums of row `row` and writes them to C.
void rk_store_row_portable(const rk_tile *tile, size_t row, const float *sum);
void rk_transpose_portable(const float *x, size_t stride, size_t columns, size_t depth, float *out);
void rk_copy_portable(const float *x, size_t stride, size_t columns, size_t depth, float *out);

#endif
