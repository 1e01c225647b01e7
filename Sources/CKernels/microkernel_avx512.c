// The microkernels of AVX-512 for floats.
#if defined(__x86_64__)
#include "vector_avx512.h"

#define TARGET __attribute__((target("prfchw,avx512f,avx512bw,avx512dq,avx512vl")))
#define MULTIPLY_ADD(a, b, sum) _mm512_fmadd_ps(a, b, sum)
#define LONGEST_SUM(tile) RK_FLOAT_SUM(tile)

#include "microkernel_template.h"

INLINE __m512 load_lanes(const float *x, size_t first, size_t columns) {
  if (columns >= first + LANES) return _mm512_loadu_ps(x + first);
  return columns <= first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(MASK(columns - first), x + first);
}

TARGET static void copy(const float *x, size_t stride, size_t columns, size_t depth, float *out) {
  enum { AHEAD = 16 };
  for (size_t k = 0; k < depth; k++, x += stride, out += RK_PANEL) {
    __builtin_prefetch(x + AHEAD * stride);
    __builtin_prefetch(x + AHEAD * stride + LANES);
    _mm512_storeu_ps(out, load_lanes(x, 0, columns));
    _mm512_storeu_ps(out + LANES, load_lanes(x, LANES, columns));
  }
}

// Rows i and i + 1 of every group: interleaves single floats, then pairs, then quarters of the vectors.
INLINE void transpose_16x16(__m512 x[LANES]) {
  __m512 y[LANES];
  UNROLL for (int i = 0; i < LANES; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
  // x[4q + j] holds, of rows 4q ... 4q + 3, the columns j, j + 4, j + 8, j + 12.
  UNROLL for (int i = 0; i < LANES; i += 4) {
    x[i] = _mm512_shuffle_ps(y[i], y[i + 2], 0x44);
    x[i + 1] = _mm512_shuffle_ps(y[i], y[i + 2], 0xee);
    x[i + 2] = _mm512_shuffle_ps(y[i + 1], y[i + 3], 0x44);
    x[i + 3] = _mm512_shuffle_ps(y[i + 1], y[i + 3], 0xee);
  }
  UNROLL for (int j = 0; j < 4; j++) {
    y[j] = _mm512_shuffle_f32x4(x[j], x[j + 4], 0x88);           // columns j, j + 8 of rows 0...7
    y[j + 4] = _mm512_shuffle_f32x4(x[j], x[j + 4], 0xdd);       // columns j + 4, j + 12
    y[j + 8] = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0x88);  // the same of rows 8...15
    y[j + 12] = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0xdd);
  }
  UNROLL for (int j = 0; j < 4; j++) {
    x[j] = _mm512_shuffle_f32x4(y[j], y[j + 8], 0x88);
    x[j + 8] = _mm512_shuffle_f32x4(y[j], y[j + 8], 0xdd);
    x[j + 4] = _mm512_shuffle_f32x4(y[j + 4], y[j + 12], 0x88);
    x[j + 12] = _mm512_shuffle_f32x4(y[j + 4], y[j + 12], 0xdd);
  }
}

// All of 16 rows before the next: lines of rows 4 KiB apart fall into one set of the first-level cache, which holds 12.
TARGET static void transpose(const float *x, size_t stride, size_t columns, size_t depth, float *out) {
  enum { AHEAD = 4 * LANES };
  for (size_t c = 0; c < RK_PANEL; c += LANES) {
    for (size_t k = 0; k < depth; k += LANES) {
      size_t steps = depth - k < LANES ? depth - k : LANES;
      __m512 block[LANES];
      UNROLL for (size_t i = 0; i < LANES; i++) {
        const float *row = x + (c + i) * stride + k;
        __builtin_prefetch(row + AHEAD);
        block[i] = c + i < columns ? _mm512_maskz_loadu_ps(MASK(steps), row) : _mm512_setzero_ps();
      }
      transpose_16x16(block);
      UNROLL for (size_t i = 0; i < LANES; i++) {
        if (i < steps) _mm512_storeu_ps(out + (k + i) * RK_PANEL + c, block[i]);
      }
    }
  }
}

const rk_microkernels rk_microkernels_avx512 = {by_rows, by_columns, transpose, copy};
#endif
