// The end of every microkernel template: sums in registers become results in memory. See microkernel_template.h for
// what the including file defines.
#include <stdint.h>

#include "microkernel.h"

#define INLINE static inline __attribute__((always_inline)) TARGET
#define UNROLL _Pragma("clang loop unroll(full)")

// In training, sums are results, or parts of them that are added up: whole vectors, and nothing else to ask about.
INLINE bool are_plain(const int vectors, const rk_tile *tile, size_t column) {
  return tile->scale == NULL && tile->bias == NULL && tile->residual == NULL && !tile->relu &&
         tile->columns - column >= (size_t)vectors * LANES;
}

INLINE void store_plain_sums(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column,
                             VECTOR sum[ROWS][VECTORS]) {
  UNROLL for (int r = 0; r < rows; r++) {
    float *c = tile->c + tile->c_rows[row + (size_t)r] + column;
    if (tile->accumulate) {
      UNROLL for (int v = 0; v < vectors; v++) STORE(c + v * LANES, ADD(LOAD(c + v * LANES), sum[r][v]));
    } else {
      UNROLL for (int v = 0; v < vectors; v++) STORE(c + v * LANES, sum[r][v]);
    }
  }
}

// Finishes the sums of rows `row`... and columns `column`... of the tile and writes them to C.
INLINE void store_sums(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column,
                       VECTOR sum[ROWS][VECTORS]) {
  if (are_plain(vectors, tile, column)) return store_plain_sums(rows, vectors, tile, row, column, sum);
  UNROLL for (int v = 0; v < vectors; v++) {
    size_t c = column + (size_t)v * LANES;
    size_t lanes = tile->columns - c < LANES ? tile->columns - c : LANES;
    VECTOR scale = tile->scale != NULL ? LOAD_PART(tile->scale + c, lanes) : ZERO();
    VECTOR bias = tile->bias != NULL ? LOAD_PART(tile->bias + c, lanes) : ZERO();
    UNROLL for (int r = 0; r < rows; r++) {
      size_t at = tile->c_rows[row + (size_t)r] + c;
      VECTOR x = sum[r][v];
      if (tile->accumulate) x = ADD(LOAD_PART(tile->c + at, lanes), x);
      if (tile->scale != NULL) x = MULTIPLY(x, scale);
      if (tile->bias != NULL) x = ADD(x, bias);
      if (tile->residual != NULL) x = ADD(x, LOAD_PART(tile->residual + at, lanes));
      if (tile->relu) x = MAXIMUM(ZERO(), x);
      STORE_PART(tile->c + at, lanes, x);
    }
  }
}
