#include "peak.h"

#include "cpu.h"

static volatile float sink;

// `sums` vectors of `lanes` floats, each added to by a multiply-add in turn: so many hide the latency of the instruction,
// and they stay in registers together with its two other operands.
#define DEFINE_PEAK(name, attributes, lanes, sums)                                                                     \
  typedef float name##_vector __attribute__((vector_size(lanes * sizeof(float))));                                     \
  attributes static double name(size_t repeats) {                                                                      \
    name##_vector sum[sums], factor = 0.999f - (name##_vector){0}, term = 0.001f - (name##_vector){0};                 \
    for (int i = 0; i < sums; i++) sum[i] = term * (float)i;                                                           \
    for (size_t r = 0; r < repeats; r++) {                                                                             \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < sums; i++) {                                              \
        _Pragma("clang fp contract(fast)") sum[i] = sum[i] * factor + term;                                            \
      }                                                                                                                \
    }                                                                                                                  \
    float total = 0;                                                                                                   \
    for (int i = 0; i < sums; i++) total += sum[i][0];                                                                 \
    sink = total;                                                                                                      \
    return 2.0 * lanes * sums * (double)repeats;                                                                       \
  }

#if defined(__x86_64__)
DEFINE_PEAK(peak_avx512, __attribute__((target("avx512f"))), 16, 14)
DEFINE_PEAK(peak_avx2, __attribute__((target("avx2,fma"))), 8, 14)
DEFINE_PEAK(peak_portable, , 4, 14)

double rk_peak_operations(size_t repeats) {
  switch (rk_isa_current()) {
  case RK_ISA_AMX:
  case RK_ISA_AVX512: return peak_avx512(repeats);
  case RK_ISA_AVX2: return peak_avx2(repeats);
  default: return peak_portable(repeats);
  }
}
#else
DEFINE_PEAK(peak_portable, , 4, 28)

double rk_peak_operations(size_t repeats) { return peak_portable(repeats); }
#endif
