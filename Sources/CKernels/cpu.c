// Which instruction set the kernels use, and the processor's floating-point mode.
#include "cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

static const char *const isa_names[] = {
    [RK_ISA_PORTABLE] = "portable",
    [RK_ISA_AVX2] = "avx2",
    [RK_ISA_AVX512] = "avx512",
    [RK_ISA_AMX] = "amx",
    [RK_ISA_NEON] = "neon",
};

// Written before main (and by rk_isa_select), read by every kernel.
static rk_isa current_isa = RK_ISA_PORTABLE;

// Whether there is AMX with bfloat16: Linux gives the tile registers (state component 18) to a process that asks.
#if defined(__x86_64__) && defined(__linux__)
static bool has_tiles(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  bool has_bf16 = d >> 22 & 1, has_amx = d >> 24 & 1;
  return has_bf16 && has_amx && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#elif defined(__x86_64__)
static bool has_tiles(void) { return false; }
#endif

// __builtin_cpu_supports also asks the operating system (XGETBV) whether it saves the wide registers.
bool rk_isa_supported(rk_isa isa) {
  switch (isa) {
  case RK_ISA_PORTABLE:
    return true;
#if defined(__x86_64__)
  case RK_ISA_AVX2:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  case RK_ISA_AVX512:
    return rk_isa_supported(RK_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  case RK_ISA_AMX:
    return rk_isa_supported(RK_ISA_AVX512) && has_tiles();
#endif
#if defined(__aarch64__)
  case RK_ISA_NEON:
    return true;
#endif
  default:
    return false;
  }
}

static rk_isa best_isa(void) {
  static const rk_isa fastest_first[] = {RK_ISA_AMX, RK_ISA_AVX512, RK_ISA_AVX2, RK_ISA_NEON};
  for (size_t i = 0; i < sizeof fastest_first / sizeof *fastest_first; i++) {
    if (rk_isa_supported(fastest_first[i])) return fastest_first[i];
  }
  return RK_ISA_PORTABLE;
}

__attribute__((constructor)) static void choose_isa(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  current_isa = best_isa();
  const char *wanted = getenv("RESIDUAL_CPU");
  if (wanted == NULL || *wanted == '\0') return;
  for (size_t i = 0; i < sizeof isa_names / sizeof *isa_names; i++) {
    if (strcmp(wanted, isa_names[i]) == 0 && rk_isa_select((rk_isa)i)) return;
  }
  fprintf(stderr,
          "RESIDUAL_CPU=%s is not an instruction set of this processor (portable, avx2, avx512, amx, neon); using %s.\n",
          wanted, isa_names[current_isa]);
}

rk_isa rk_isa_current(void) { return current_isa; }

bool rk_isa_select(rk_isa isa) {
  if (!rk_isa_supported(isa)) return false;
  current_isa = isa;
  return true;
}

const char *rk_isa_name(rk_isa isa) {
  return (size_t)isa < sizeof isa_names / sizeof *isa_names ? isa_names[isa] : "unknown";
}

// x86: MXCSR bit 15 flushes denormal results to zero, bit 6 reads denormal operands as zero.
// AArch64: FPCR bit 24 does both.
#if defined(__x86_64__)
enum { denormal_bits = 1 << 15 | 1 << 6 };
static uint64_t read_mode(void) { return _mm_getcsr(); }
static void write_mode(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
enum { denormal_bits = 1 << 24 };
static uint64_t read_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
static void write_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
enum { denormal_bits = 0 };
static uint64_t read_mode(void) { return 0; }
static void write_mode(uint64_t mode) { (void)mode; }
#endif

uint64_t rk_denormals_flush(bool flush) {
  uint64_t state = read_mode();
  write_mode(flush ? state | denormal_bits : state & ~(uint64_t)denormal_bits);
  return state;
}

void rk_denormals_restore(uint64_t state) { write_mode(state); }
