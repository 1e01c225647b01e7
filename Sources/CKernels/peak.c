#include "peak.h"

#include "dispatch.h"

// Enough independent sums to hide the latency of the multiply-add on every register file: 16 vectors of 16 floats on
// AVX-512 and AVX2's 16 registers are filled by the same number of smaller ones.
enum { LANES = 16, SUMS = 14 };

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

static volatile float sink;

RK_LOOP double peak_operations(size_t repeats) {
  vector sums[SUMS];
  vector factor, term;
  for (int lane = 0; lane < LANES; lane++) {
    factor[lane] = 0.999f;
    term[lane] = 0.001f;
  }
  for (int i = 0; i < SUMS; i++) sums[i] = term * (float)i;
  for (size_t r = 0; r < repeats; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < SUMS; i++) {
#pragma clang fp contract(fast)
      sums[i] = sums[i] * factor + term;
    }
  }
  float total = 0;
  for (int i = 0; i < SUMS; i++) total += sums[i][0];
  sink = total;
  return 2.0 * LANES * SUMS * (double)repeats;
}

RK_DISPATCH(double, rk_peak_operations, peak_operations, (size_t repeats), (repeats))
