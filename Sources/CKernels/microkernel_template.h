// The microkernels of one vector instruction set. The including file defines
//   TARGET                     attribute that enables the instructions
//   VECTOR, LANES              vector type and its floats
//   ROWS, VECTORS              limits of the sums held at once
//   MOST_ROWS(v)               how many rows of v vectors (they, a row of B and one of A must fit the registers)
//   FOR_EACH_PART(visit)       visit(r, v) for all 1 <= v <= VECTORS and 1 <= r <= MOST_ROWS(v)
//   ZERO() LOAD(p) STORE(p, x) BROADCAST(p) MULTIPLY_ADD(a, b, sum) MULTIPLY(a, b) ADD(a, b)
//   MAXIMUM(a, b)              b when either is a NaN
//   LOAD_PART(p, n) STORE_PART(p, n, x)   the first n lanes, 0 < n <= LANES
//   LONGEST_SUM(tile)          how many steps of a sum stay in registers before they are added to a total
// and gets the functions by_rows and by_columns.
#include "arithmetic.h"
#include "microkernel_store.h"

// For FOR_EACH_PART: up to four and six rows of v vectors.
#define FOUR_ROWS(visit, v) visit(1, v) visit(2, v) visit(3, v) visit(4, v)
#define SIX_ROWS(visit, v) FOUR_ROWS(visit, v) visit(5, v) visit(6, v)

// Sums that have come to their length, added up in memory: registers hold the next ones only.
INLINE void put_away(const int rows, const int vectors, bool begun, VECTOR sum[ROWS][VECTORS],
                     VECTOR total[ROWS][VECTORS]) {
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) total[r][v] = begun ? ADD(total[r][v], sum[r][v]) : sum[r][v];
  }
}

INLINE void set_to_zero(const int rows, const int vectors, VECTOR sum[ROWS][VECTORS]) {
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ZERO();
}

// Results are written once, after the sum, and lie where nobody has looked lately, as what is added to them does: have
// them come meanwhile.
INLINE void fetch_results(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  UNROLL for (int r = 0; r < rows; r++) {
    size_t at = tile->c_rows[row + (size_t)r] + column;
    UNROLL for (int v = 0; v < vectors; v++) __builtin_prefetch(tile->c + at + v * LANES, 1, 3);
    if (tile->residual == NULL) continue;
    UNROLL for (int v = 0; v < vectors; v++) __builtin_prefetch(tile->residual + at + v * LANES, 0, 3);
  }
}

// The panel of vector v of a row of B, counted from vector 0, which is at `column` of the tile.
#define PANEL_OF(v) ((v) * LANES / RK_PANEL)
enum { PANELS = (VECTORS * LANES + RK_PANEL - 1) / RK_PANEL };

INLINE void find_b(const rk_tile *tile, size_t column, const float *b[PANELS]) {
  b[0] = tile->b + (column < RK_PANEL ? (ptrdiff_t)column : tile->b_panel + (ptrdiff_t)(column - RK_PANEL));
  if (PANELS > 1) b[PANELS - 1] = tile->b + tile->b_panel;
}

// The rows that the next part of the tile will want at this place, on their way to the L2 cache.
INLINE void fetch_next_rows(const int rows, const float *const *a, ptrdiff_t stride) {
  enum { LINE = 64 / sizeof(float) };
  UNROLL for (int r = 0; r < rows; r++) {
    const float *next = a[r / 3] + (rows + r % 3) * stride;
    UNROLL for (int k = 0; k < RK_LONGEST_SUM; k += LINE) __builtin_prefetch(next + k, 0, 2);
  }
}

// RK_SHORT_SUM rows of B, of all panels of the tile, on their way to the L2 cache: a share of them.
INLINE void fetch_next_b(const rk_tile *tile, const float *next) {
  enum { LINE = 64 / sizeof(float), FLOATS = RK_SHORT_SUM * RK_PANEL / RK_FETCH_PARTS };
  for (size_t column = 0; column < tile->columns; column += RK_PANEL, next += tile->b_panel) {
    UNROLL for (int k = 0; k < FLOATS; k += LINE) __builtin_prefetch(next + k, 0, 2);
  }
}

// Where the part of the tile from `row` and `column` on begins to fetch, or NULL.
INLINE const float *find_next_b(const rk_tile *tile, size_t row, size_t column) {
  if (tile->next_b == NULL || column > 0) return NULL;
  size_t part = (row + RK_PART_ROWS - 1) / RK_PART_ROWS, depth = tile->stretch_count * tile->stretches[0].depth;
  return tile->next_b + part * (depth * RK_PANEL / RK_FETCH_PARTS);
}

// Steps of a sum in one turn of the loop, as far as there are so many: a turn costs as much as four products.
enum { TURN = 4 };

// `steps` steps of the sum. Three rows share a pointer: an address is a pointer plus 0, 1 or 2 strides.
INLINE void add_row_products(const int steps, const int rows, const int vectors, ptrdiff_t stride, const float **a,
                             const float **b, VECTOR sum[ROWS][VECTORS]) {
  UNROLL for (int k = 0; k < steps; k++) {
    VECTOR y[VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) y[v] = LOAD(b[PANEL_OF(v)] + k * RK_PANEL + v * LANES % RK_PANEL);
    UNROLL for (int r = 0; r < rows; r++) {
      VECTOR x = BROADCAST(a[r / 3] + r % 3 * stride + k);
      UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = MULTIPLY_ADD(x, y[v], sum[r][v]);
    }
  }
  UNROLL for (int p = 0; p < PANELS; p++) b[p] += steps * RK_PANEL;
  UNROLL for (int g = 0; g < (rows + 2) / 3; g++) {
    a[g] += steps;
    __asm__("" : "+r"(a[g]));  // else the compiler keeps a pointer, and a spill, for every row
  }
}

INLINE void find_stretch(const int rows, const rk_stretch *stretch, const float *first_a, ptrdiff_t stride,
                         const float *const *first_b, const float **a, const float **b) {
  UNROLL for (int g = 0; g < (rows + 2) / 3; g++) a[g] = first_a + stretch->a + 3 * g * stride;
  UNROLL for (int p = 0; p < PANELS; p++) b[p] = first_b[p] + stretch->b;
}

// Stretches so short that what they cost beside the products counts. Sums are put away between two of them.
INLINE void add_short_stretches(const int rows, const int vectors, const rk_tile *tile, const float *first_a,
                                const float *const *first_b, VECTOR total[ROWS][VECTORS]) {
  const rk_stretch *s = tile->stretches, *end = s + tile->stretch_count;
  for (bool begun = false; !begun || s < end; begun = true) {
    VECTOR sum[ROWS][VECTORS];
    set_to_zero(rows, vectors, sum);
    for (size_t left = LONGEST_SUM(tile); s < end && s->depth <= left; s++) {
      left -= s->depth;
      const float *a[(ROWS + 2) / 3], *b[PANELS];
      find_stretch(rows, s, first_a, tile->a_stride, first_b, a, b);
      for (size_t k = s->depth; k > 0; k--) add_row_products(1, rows, vectors, tile->a_stride, a, b, sum);
    }
    put_away(rows, vectors, begun, sum, total);
  }
}

// Depths are multiples of `at_once`.
INLINE void add_long_stretches(const int at_once, const int rows, const int vectors, const rk_tile *tile,
                               const float *first_a, const float *const *first_b, const float *next_b,
                               VECTOR total[ROWS][VECTORS]) {
  const rk_stretch *s = tile->stretches, *end = s + tile->stretch_count;
  const float *a[(ROWS + 2) / 3], *b[PANELS];
  size_t depth = 0;  // what is left of the stretch before s
  for (bool begun = false; depth > 0 || s < end; begun = true) {
    VECTOR sum[ROWS][VECTORS];
    set_to_zero(rows, vectors, sum);
    for (size_t left = LONGEST_SUM(tile), steps; left > 0 && (depth > 0 || s < end); left -= steps) {
      if (depth == 0) {
        find_stretch(rows, s, first_a, tile->a_stride, first_b, a, b);
        depth = s++->depth;
      }
      steps = minimum(minimum(depth, left), RK_LONGEST_SUM);
      depth -= steps;
      if (tile->fetches_rows && steps == RK_LONGEST_SUM) fetch_next_rows(rows, a, tile->a_stride);
      for (size_t k = RK_SHORT_SUM; k <= steps && next_b != NULL; k += RK_SHORT_SUM) {
        fetch_next_b(tile, next_b);
        next_b += RK_SHORT_SUM * RK_PANEL / RK_FETCH_PARTS;
      }
      for (size_t k = steps / (size_t)at_once; k > 0; k--) {
        add_row_products(at_once, rows, vectors, tile->a_stride, a, b, sum);
      }
    }
    put_away(rows, vectors, begun, sum, total);
  }
}

INLINE void multiply_rows(const int at_once, const int rows, const int vectors, const rk_tile *tile, size_t row,
                          size_t column) {
  fetch_results(rows, vectors, tile, row, column);
  VECTOR total[ROWS][VECTORS];
  const float *first_a = tile->a + (ptrdiff_t)row * tile->a_stride, *first_b[PANELS];
  find_b(tile, column, first_b);
  if (at_once == 1 && (tile->stretch_count == 0 || tile->stretches[0].depth <= RK_SHORT_SUM)) {
    add_short_stretches(rows, vectors, tile, first_a, first_b, total);
  } else {
    add_long_stretches(at_once, rows, vectors, tile, first_a, first_b, find_next_b(tile, row, column), total);
  }
  store_sums(rows, vectors, tile, row, column, total);
}

INLINE void add_column_products(const int steps, const int rows, const int vectors, ptrdiff_t a_stride,
                                ptrdiff_t b_stride, const float **a, const float **b, VECTOR sum[ROWS][VECTORS]) {
  UNROLL for (int k = 0; k < steps; k++) {
    VECTOR y[VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) y[v] = LOAD(b[PANEL_OF(v)] + k * b_stride + v * LANES % RK_PANEL);
    UNROLL for (int r = 0; r < rows; r++) {
      VECTOR x = BROADCAST(*a + k * a_stride + r);
      UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = MULTIPLY_ADD(x, y[v], sum[r][v]);
    }
    // The tile that follows this one, on its way to the L2 cache.
    __builtin_prefetch(*a + k * a_stride + 2 * RK_TILE_ROWS - 1, 0, 2);
  }
  *a += steps * a_stride;
  UNROLL for (int p = 0; p < PANELS; p++) b[p] += steps * b_stride;
}

INLINE void multiply_columns(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  fetch_results(rows, vectors, tile, row, column);
  const ptrdiff_t a_stride = tile->a_stride, b_stride = tile->b_stride;
  const rk_stretch *s = tile->stretches, *end = s + tile->stretch_count;
  const float *first_b[PANELS], *a, *b[PANELS];
  find_b(tile, column, first_b);
  VECTOR total[ROWS][VECTORS];
  size_t depth = 0;  // what is left of the stretch before s
  for (bool begun = false; !begun || depth > 0 || s < end; begun = true) {
    VECTOR sum[ROWS][VECTORS];
    set_to_zero(rows, vectors, sum);
    for (size_t left = LONGEST_SUM(tile), steps; left > 0 && (depth > 0 || s < end); left -= steps) {
      if (depth == 0) {
        a = tile->a + row + s->a;
        UNROLL for (int p = 0; p < PANELS; p++) b[p] = first_b[p] + s->b;
        depth = s++->depth;
      }
      steps = depth < left ? depth : left;
      depth -= steps;
      size_t k = steps;
      for (; k >= TURN; k -= TURN) add_column_products(TURN, rows, vectors, a_stride, b_stride, &a, b, sum);
      for (; k > 0; k--) add_column_products(1, rows, vectors, a_stride, b_stride, &a, b, sum);
    }
    put_away(rows, vectors, begun, sum, total);
  }
  store_sums(rows, vectors, tile, row, column, total);
}

#define DEFINE_FIXED(r, v)                                                                                           \
  TARGET static void rows_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                                \
    multiply_rows(1, r, v, tile, row, column);                                                                       \
  }                                                                                                                  \
  TARGET static void rows_in_turns_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                       \
    multiply_rows(TURN, r, v, tile, row, column);                                                                    \
  }                                                                                                                  \
  TARGET static void columns_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                             \
    multiply_columns(r, v, tile, row, column);                                                                       \
  }
FOR_EACH_PART(DEFINE_FIXED)

typedef void fixed_tile(const rk_tile *tile, size_t row, size_t column);
#define ROWS_ENTRY(r, v) [r - 1][v - 1] = rows_##r##_##v,
static fixed_tile *const fixed_rows[ROWS][VECTORS] = {FOR_EACH_PART(ROWS_ENTRY)};
#define ROWS_IN_TURNS_ENTRY(r, v) [r - 1][v - 1] = rows_in_turns_##r##_##v,
static fixed_tile *const fixed_rows_in_turns[ROWS][VECTORS] = {FOR_EACH_PART(ROWS_IN_TURNS_ENTRY)};
#define COLUMNS_ENTRY(r, v) [r - 1][v - 1] = columns_##r##_##v,
static fixed_tile *const fixed_columns[ROWS][VECTORS] = {FOR_EACH_PART(COLUMNS_ENTRY)};

// A tile may be larger than the registers: cut it into parts of nearly equal height.
INLINE void multiply(fixed_tile *const functions[ROWS][VECTORS], const rk_tile *tile) {
  for (size_t column = 0; column < tile->columns; column += LANES * VECTORS) {
    size_t vectors = (tile->columns - column + LANES - 1) / LANES;
    if (vectors > VECTORS) vectors = VECTORS;
    size_t parts = (tile->rows + MOST_ROWS(vectors) - 1) / MOST_ROWS(vectors);
    for (size_t part = 0; part < parts; part++) {
      size_t row = tile->rows * part / parts, rows = tile->rows * (part + 1) / parts - row;
      functions[rows - 1][vectors - 1](tile, row, column);
    }
  }
}

TARGET static void by_rows(const rk_tile *tile) {
  // Few steps are for add_short_stretches, whatever they are a multiple of.
  size_t depth = tile->stretch_count > 0 ? tile->stretches[0].depth : 1;
  bool in_turns = depth % TURN == 0 && depth > 2 * TURN;
  multiply(in_turns ? fixed_rows_in_turns : fixed_rows, tile);
}

TARGET static void by_columns(const rk_tile *tile) { multiply(fixed_columns, tile); }
