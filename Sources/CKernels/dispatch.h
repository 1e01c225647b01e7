// One loop, compiled for every instruction set.
//
// A kernel is written once, as an RK_LOOP function: plain C that the compiler can vectorise. RK_DISPATCH makes one copy
// for each instruction set of the architecture and a public function that picks among them at run time. The copy for
// the baseline (SSE2 on x86-64, NEON on arm64) is the portable path.
#ifndef RESIDUAL_DISPATCH_H
#define RESIDUAL_DISPATCH_H

#include <stddef.h>

#include "cpu.h"

#define RK_LOOP static inline __attribute__((always_inline))

/// Before a loop whose iterations touch only elements of their own index, so that an output may be one of the inputs
/// and the loop still runs on vectors.
#define RK_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")

#if defined(__x86_64__)
#define RK_DISPATCH(result, name, loop, parameters, arguments)                                                         \
  __attribute__((target("prfchw,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) static result name##_avx512            \
      parameters {                                                                                                     \
    return loop arguments;                                                                                             \
  }                                                                                                                    \
  __attribute__((target("avx2,fma"))) static result name##_avx2 parameters { return loop arguments; }                  \
  static result name##_portable parameters { return loop arguments; }                                                  \
  result name parameters {                                                                                             \
    switch (rk_isa_current()) {                                                                                        \
    case RK_ISA_AMX:                                                                                                   \
    case RK_ISA_AVX512: return name##_avx512 arguments;                                                                \
    case RK_ISA_AVX2: return name##_avx2 arguments;                                                                    \
    default: return name##_portable arguments;                                                                         \
    }                                                                                                                  \
  }
#else
#define RK_DISPATCH(result, name, loop, parameters, arguments)                                                         \
  result name parameters { return loop arguments; }
#endif

#endif
