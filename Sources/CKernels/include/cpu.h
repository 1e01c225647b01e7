// Which instruction set the kernels use, and the processor's floating-point mode.
#ifndef RESIDUAL_CPU_H
#define RESIDUAL_CPU_H

#include <stdbool.h>
#include <stdint.h>

/// AMX is AVX-512 for everything but products of bfloat16, which it adds up in another order than all others.
typedef enum { RK_ISA_PORTABLE = 0, RK_ISA_AVX2 = 1, RK_ISA_AVX512 = 2, RK_ISA_AMX = 3, RK_ISA_NEON = 4 } rk_isa;

/// The instruction set in use: the best the processor has, or what the environment variable RESIDUAL_CPU
/// (portable, avx2, avx512, amx, neon) names when the program starts.
rk_isa rk_isa_current(void);

/// Whether this processor (and this build) can run `isa`.
bool rk_isa_supported(rk_isa isa);

/// Switches every kernel to `isa`; false, and nothing changed, when the processor lacks it. For tests and benchmarks:
/// not to be called while kernels run.
bool rk_isa_select(rk_isa isa);

/// "portable", "avx2", "avx512", "amx" or "neon".
const char *rk_isa_name(rk_isa isa);

/// Sets whether denormal numbers count as zero on the calling thread; returns the state for rk_denormals_restore.
uint64_t rk_denormals_flush(bool flush);

/// Puts the calling thread's floating-point mode back.
void rk_denormals_restore(uint64_t state);

/// What a loop that waits for another thread does in each turn: the processor idles for some dozen cycles.
static inline void rk_spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

#endif
