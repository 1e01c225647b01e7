// bfloat16 with AVX-512 BF16: a pair of products a lane (VDPBF16PS), in the shapes of the microkernels for floats.
#if defined(__x86_64__)
#include "microkernel_bf16.h"
#include "vector_avx512.h"

#define TARGET __attribute__((target("prfchw,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define MULTIPLY_ADD(a, b, sum) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(b))
#define LONGEST_SUM(tile) SIZE_MAX

#include "microkernel_template.h"

// The instruction takes denormals for zero; other numbers it rounds as rk_float_rows_to_bfloat16 does.
TARGET static void round_rows(const float *x, const size_t *starts, size_t rows, size_t columns, uint16_t *out) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < columns; c += LANES) {
      size_t at = starts[r] + c, lanes = minimum(columns - c, LANES);
      _mm256_mask_storeu_epi16(out + at, MASK(lanes), (__m256i)_mm512_cvtneps_pbh(LOAD_PART(x + at, lanes)));
    }
  }
}

const rk_bf16_microkernels rk_bf16_microkernels_avx512 = {RK_BF16_SHAPE, by_rows, by_columns, round_rows};
#endif
