// The bfloat16 microkernel of one vector instruction set. The including file defines what microkernel_template.h asks
// for, with
//   BROADCAST(p)         one pair in all lanes
//   FIRST(x) SECOND(x)   the halves of pairs, as floats
// and gets the function by_rows. Registers must hold two sums for each of ROWS x VECTORS.
#include "microkernel_bf16.h"
#include "microkernel_store.h"

INLINE void multiply_rows(const int rows, const int vectors, const rk_tile *tile, size_t row, size_t column) {
  VECTOR sum[ROWS][VECTORS];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ZERO();
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = tile->a + (ptrdiff_t)row * tile->a_stride + tile->stretches[s].a;
    const float *b = tile->b + column + tile->stretches[s].b;
    for (size_t k = 0, end; k < tile->stretches[s].depth; k = end) {
      end = k + RK_BF16_GROUP < tile->stretches[s].depth ? k + RK_BF16_GROUP : tile->stretches[s].depth;
      VECTOR first[ROWS][VECTORS], second[ROWS][VECTORS];
      UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) first[r][v] = second[r][v] = ZERO();
      }
      for (size_t j = k; j < end; j++, a++, b += tile->b_stride) {
        UNROLL for (int v = 0; v < vectors; v++) {
          VECTOR y = LOAD(b + v * LANES), y_first = FIRST(y), y_second = SECOND(y);
          UNROLL for (int r = 0; r < rows; r++) {
            VECTOR x = BROADCAST(a + r * tile->a_stride);
            first[r][v] = MULTIPLY_ADD(FIRST(x), y_first, first[r][v]);
            second[r][v] = MULTIPLY_ADD(SECOND(x), y_second, second[r][v]);
          }
        }
      }
      UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = ADD(sum[r][v], ADD(first[r][v], second[r][v]));
      }
    }
  }
  store_sums(rows, vectors, tile, row, column, sum);
}

#define DEFINE_FIXED(r, v)                                                                                           \
  TARGET static void rows_##r##_##v(const rk_tile *tile, size_t row, size_t column) {                                \
    multiply_rows(r, v, tile, row, column);                                                                          \
  }
#define DEFINE_ROWS(r) FOR_EACH_VECTORS(DEFINE_FIXED, r)
FOR_EACH_ROWS(DEFINE_ROWS)

typedef void fixed_tile(const rk_tile *tile, size_t row, size_t column);
#define ENTRY(r, v) rows_##r##_##v,
#define ENTRIES(r) {FOR_EACH_VECTORS(ENTRY, r)},
static fixed_tile *const fixed_by_rows[ROWS][VECTORS] = {FOR_EACH_ROWS(ENTRIES)};

TARGET static void by_rows(const rk_tile *tile) {
  for (size_t row = 0, rows; row < tile->rows; row += rows) {
    rows = tile->rows - row < ROWS ? tile->rows - row : ROWS;
    for (size_t column = 0; column < tile->columns; column += LANES * VECTORS) {
      size_t vectors = (tile->columns - column + LANES - 1) / LANES;
      fixed_by_rows[rows - 1][vectors < VECTORS ? vectors - 1 : VECTORS - 1](tile, row, column);
    }
  }
}
