// The microkernels of one vector instruction set. The including file defines
//   TARGET                     attribute that enables the instructions
//   VECTOR, LANES              vector type and its floats
//   ROWS, VECTORS              sums held at once: ROWS x VECTORS vectors (they and a row of B must fit the registers)
//   FOR_EACH_ROWS(visit)       visit(1) ... visit(ROWS)
//   FOR_EACH_VECTORS(visit, r) visit(r, 1) ... visit(r, VECTORS)
//   ZERO() LOAD(p) STORE(p, x) BROADCAST(p) MULTIPLY_ADD(a, b, sum) ADD(a, b)
//   MAXIMUM(a, b)              b when either is a NaN
//   LOAD_PART(p, n) STORE_PART(p, n, x)   the first n lanes, 0 < n <= LANES
//   STREAM(p, x)               stores past the caches; p is a multiple of the vector's size
// and gets the functions by_rows and by_columns.
#include "microkernel_store.h"

// Sums that stay in registers for long lose what is small beside them: after LONGEST_SUM products they are added to
// `total` in memory and start anew. This keeps rounding errors at the level of sums of that length.
enum { LONGEST_SUM = 64 };

typedef struct {
  VECTOR total[ROWS][VECTORS];
  bool begun;
  size_t left;  // products until the sums are put away
} long_sum;

INLINE void put_away(const int rows, const int vectors, long_sum *state, VECTOR sum[ROWS][VECTORS]) {
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      state->total[r][v] = state->begun ? ADD(state->total[r][v], sum[r][v]) : sum[r][v];
      sum[r][v] = ZERO();
    }
  }
  state->begun = true;
  state->left = LONGEST_SUM;
}

INLINE void add_total(const int rows, const int vectors, const long_sum *state, VECTOR sum[ROWS][VECTORS]) {
  if (!state->begun) return;
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ADD(state->total[r][v], sum[r][v]);
  }
}

// Results are written once, after the sum, and lie where nobody has looked lately: have them come meanwhile.
INLINE void fetch_results(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  if (tile->streamed) return;
  UNROLL for (int r = 0; r < rows; r++) {
    const float *c = tile->c + tile->c_rows[row + (size_t)r] + column;
    UNROLL for (int v = 0; v < vectors; v++) __builtin_prefetch(c + v * LANES, 1, 3);
  }
}

INLINE void multiply_rows(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  fetch_results(rows, vectors, tile, row, column);
  VECTOR sum[ROWS][VECTORS];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ZERO();
  long_sum state;
  state.begun = false;
  state.left = LONGEST_SUM;
  const ptrdiff_t stride = tile->a_stride, b_stride = tile->b_stride;
  const float *first_a = tile->a + (ptrdiff_t)row * stride, *first_b = tile->b + column;
  for (size_t s = 0; s < tile->stretch_count; s++) {
    // Three rows to a pointer: an address is a pointer plus 0, 1 or 2 strides.
    const float *a[(ROWS + 2) / 3], *b = first_b + tile->stretches[s].b;
    UNROLL for (int g = 0; g < (rows + 2) / 3; g++) a[g] = first_a + tile->stretches[s].a + 3 * g * stride;
    for (size_t depth = tile->stretches[s].depth, steps; depth > 0; depth -= steps) {
      if (state.left == 0) put_away(rows, vectors, &state, sum);
      steps = depth < state.left ? depth : state.left;
      state.left -= steps;
      for (size_t k = steps; k > 0; k--) {
        VECTOR y[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) y[v] = LOAD(b + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
          VECTOR x = BROADCAST(a[r / 3] + r % 3 * stride);
          UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = MULTIPLY_ADD(x, y[v], sum[r][v]);
        }
        b += b_stride;
        UNROLL for (int g = 0; g < (rows + 2) / 3; g++) {
          a[g]++;
          __asm__("" : "+r"(a[g]));  // else the compiler keeps a pointer, and a spill, for every row
        }
      }
    }
  }
  add_total(rows, vectors, &state, sum);
  store_sums(rows, vectors, tile, row, column, sum);
}

INLINE void multiply_columns(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  fetch_results(rows, vectors, tile, row, column);
  VECTOR sum[ROWS][VECTORS];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ZERO();
  long_sum state;
  state.begun = false;
  state.left = LONGEST_SUM;
  const ptrdiff_t a_stride = tile->a_stride, b_stride = tile->b_stride;
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = tile->a + row + tile->stretches[s].a, *b = tile->b + column + tile->stretches[s].b;
    for (size_t depth = tile->stretches[s].depth, steps; depth > 0; depth -= steps) {
      if (state.left == 0) put_away(rows, vectors, &state, sum);
      steps = depth < state.left ? depth : state.left;
      state.left -= steps;
      for (size_t k = steps; k > 0; k--) {
        VECTOR y[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) y[v] = LOAD(b + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
          VECTOR x = BROADCAST(a + r);
          UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = MULTIPLY_ADD(x, y[v], sum[r][v]);
        }
        // The tile that follows this one, on its way to the L2 cache.
        __builtin_prefetch(a + 2 * RK_TILE_ROWS - 1, 0, 2);
        a += a_stride;
        b += b_stride;
      }
    }
  }
  add_total(rows, vectors, &state, sum);
  store_sums(rows, vectors, tile, row, column, sum);
}

#define DEFINE_FIXED(r, v)                                                                                           \
  TARGET static void rows_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                                \
    multiply_rows(r, v, tile, row, column);                                                                          \
  }                                                                                                                  \
  TARGET static void columns_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                             \
    multiply_columns(r, v, tile, row, column);                                                                       \
  }
#define DEFINE_ROWS(r) FOR_EACH_VECTORS(DEFINE_FIXED, r)
FOR_EACH_ROWS(DEFINE_ROWS)

typedef void fixed_tile(const rk_tile *tile, size_t row, size_t column);
#define BY_ROWS_ENTRY(r, v) rows_##r##_##v,
#define BY_ROWS_ENTRIES(r) {FOR_EACH_VECTORS(BY_ROWS_ENTRY, r)},
static fixed_tile *const fixed_by_rows[ROWS][VECTORS] = {FOR_EACH_ROWS(BY_ROWS_ENTRIES)};
#define BY_COLUMNS_ENTRY(r, v) columns_##r##_##v,
#define BY_COLUMNS_ENTRIES(r) {FOR_EACH_VECTORS(BY_COLUMNS_ENTRY, r)},
static fixed_tile *const fixed_by_columns[ROWS][VECTORS] = {FOR_EACH_ROWS(BY_COLUMNS_ENTRIES)};

// A tile may be larger than the registers: cut it into parts of nearly equal height.
INLINE void multiply(fixed_tile *const functions[ROWS][VECTORS], const rk_tile *tile) {
  size_t parts = (tile->rows + ROWS - 1) / ROWS;
  for (size_t part = 0; part < parts; part++) {
    size_t row = tile->rows * part / parts, rows = tile->rows * (part + 1) / parts - row;
    for (size_t column = 0; column < tile->columns; column += LANES * VECTORS) {
      size_t vectors = (tile->columns - column + LANES - 1) / LANES;
      functions[rows - 1][vectors < VECTORS ? vectors - 1 : VECTORS - 1](tile, row, column);
    }
  }
}

TARGET static void by_rows(const rk_tile *tile) { multiply(fixed_by_rows, tile); }
TARGET static void by_columns(const rk_tile *tile) { multiply(fixed_by_columns, tile); }
