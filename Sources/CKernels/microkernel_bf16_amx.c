// bfloat16 with AMX: four tiles of 16 x 16 sums, two of A (16 rows of 16 pairs) and two of B (16 pairs of 16 columns).
//
// TDPBF16PS adds up the first and the second products of every 16 pairs apart, from zero, and then adds both to the sum.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>

#include "microkernel_bf16.h"

#define TARGET __attribute__((target("prfchw,amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl")))

enum { SIDE = 16, LINE = SIDE * sizeof(float), TILE_ROWS = 2 * SIDE };

// The operand of LDTILECFG: bytes a row and rows of each tile.
typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_configuration;

// Rows that the tile registers of this thread are set up for; setting them up takes as long as some products.
static _Thread_local size_t configured_rows = 0;

// Tiles 0...3: sums; 4 and 5: A; 6 and 7: B.
TARGET static void configure(size_t rows) {
  if (configured_rows == rows) return;
  configured_rows = rows;
  tile_configuration configuration = {.palette = 1};
  uint8_t upper = (uint8_t)(rows < SIDE ? rows : SIDE), lower = (uint8_t)(rows > SIDE ? rows - SIDE : 1);
  const uint8_t tile_rows[8] = {upper, upper, lower, lower, upper, lower, SIDE, SIDE};
  for (int i = 0; i < 8; i++) {
    configuration.row_bytes[i] = LINE;
    configuration.rows[i] = tile_rows[i];
  }
  _tile_loadconfig(&configuration);
}

// Sums of all stretches, as TILE_ROWS rows of RK_PANEL floats.
TARGET static void multiply(const rk_tile *tile, float *sum) {
  const size_t a_stride = (size_t)tile->a_stride * sizeof(float), b_stride = (size_t)tile->b_stride * sizeof(float);
  const bool two_high = tile->rows > SIDE, two_wide = tile->columns > SIDE;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t s = 0; s < tile->stretch_count; s++) {
    const float *a = tile->a + tile->stretches[s].a, *b = tile->b + tile->stretches[s].b;
    for (size_t k = 0; k < tile->stretches[s].depth; k += SIDE, a += SIDE, b += SIDE * tile->b_stride) {
      _tile_loadd(4, a, a_stride);
      _tile_loadd(6, b, b_stride);
      _tile_dpbf16ps(0, 4, 6);
      if (two_wide) {
        _tile_loadd(7, b + SIDE, b_stride);
        _tile_dpbf16ps(1, 4, 7);
      }
      if (!two_high) continue;
      _tile_loadd(5, a + SIDE * tile->a_stride, a_stride);
      _tile_dpbf16ps(2, 5, 6);
      if (two_wide) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sum, RK_PANEL * sizeof(float));
  _tile_stored(1, sum + SIDE, RK_PANEL * sizeof(float));
  if (!two_high) return;
  _tile_stored(2, sum + SIDE * RK_PANEL, RK_PANEL * sizeof(float));
  _tile_stored(3, sum + SIDE * RK_PANEL + SIDE, RK_PANEL * sizeof(float));
}

// Results are written once, after the sum, and lie where nobody has looked lately: have them come meanwhile.
TARGET static void fetch_results(const rk_tile *tile) {
  for (size_t r = 0; r < tile->rows; r++) {
    const float *c = tile->c + tile->c_rows[r];
    __builtin_prefetch(c, 1, 3);
    if (tile->columns > SIDE) __builtin_prefetch(c + SIDE, 1, 3);
  }
}

TARGET static __mmask16 lane_mask(size_t columns, size_t first) {
  size_t lanes = columns > first ? columns - first : 0;
  return (__mmask16)(lanes >= SIDE ? 0xffff : (1u << lanes) - 1);
}

TARGET static void store_sums(const rk_tile *tile, const float *sum) {
  for (size_t r = 0; r < tile->rows; r++) {
    for (size_t c = 0; c < tile->columns; c += SIDE) {
      size_t at = tile->c_rows[r] + c;
      __mmask16 mask = lane_mask(tile->columns, c);
      __m512 x = _mm512_loadu_ps(sum + r * RK_PANEL + c);
      if (tile->accumulate) x = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, tile->c + at), x);
      if (tile->scale != NULL) x = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(mask, tile->scale + c));
      if (tile->bias != NULL) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, tile->bias + c));
      if (tile->residual != NULL) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, tile->residual + at));
      if (tile->relu) x = _mm512_max_ps(_mm512_setzero_ps(), x);
      _mm512_mask_storeu_ps(tile->c + at, mask, x);
    }
  }
}

TARGET static void by_rows(const rk_tile *tile) {
  _Alignas(64) float sum[TILE_ROWS * RK_PANEL];
  configure(tile->rows);
  fetch_results(tile);
  multiply(tile, sum);
  store_sums(tile, sum);
}

const rk_bf16_microkernels rk_bf16_microkernels_amx = {
    .tile_rows = TILE_ROWS,
    .tile_panels = 1,
    .part_rows = TILE_ROWS,
    .depth_multiple = SIDE,
    .by_rows = by_rows,
    .round_rows = rk_float_rows_to_bfloat16};

TARGET void rk_amx_end(void) {
  if (configured_rows == 0) return;
  configured_rows = 0;
  _tile_release();
}
#endif
