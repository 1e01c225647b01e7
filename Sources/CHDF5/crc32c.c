// CRC-32C: with the processor's instruction where it has one, else by table.
//
// The instruction takes 3 cycles and can start every cycle, so three runs of bytes are summed at once and joined: a
// checksum is linear, and appending n zero bytes to a run multiplies its checksum by a constant (M. Adler, crc32c.c).

#include "crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u
#define RUN 2048

static uint32_t byte_table[256];
static uint32_t zeros_table[4][256];  // what RUN zero bytes make of each byte of a checksum

static uint32_t step_by_table(uint32_t crc, const unsigned char *bytes, size_t count) {
  while (count--) crc = byte_table[(crc ^ *bytes++) & 0xFF] ^ (crc >> 8);
  return crc;
}

static void make_tables(void) {
  static const unsigned char zeros[RUN];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    byte_table[i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int byte = 0; byte < 4; byte++) zeros_table[byte][i] = step_by_table(i << (8 * byte), zeros, RUN);
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define HARDWARE __attribute__((target("sse4.2")))
HARDWARE static inline uint32_t step8(uint32_t crc, uint64_t word) {
  return (uint32_t)__builtin_ia32_crc32di(crc, word);
}
HARDWARE static inline uint32_t step1(uint32_t crc, unsigned char byte) { return __builtin_ia32_crc32qi(crc, byte); }
static bool has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#else
#include <sys/auxv.h>
#define HARDWARE __attribute__((target("crc")))
HARDWARE static inline uint32_t step8(uint32_t crc, uint64_t word) { return __builtin_arm_crc32cd(crc, word); }
HARDWARE static inline uint32_t step1(uint32_t crc, unsigned char byte) { return __builtin_arm_crc32cb(crc, byte); }
static bool has_instruction(void) { return getauxval(AT_HWCAP) & (1 << 7); }  // HWCAP_CRC32
#endif

static inline uint64_t load8(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

static inline uint32_t append_zeros(uint32_t crc) {
  return zeros_table[0][crc & 0xFF] ^ zeros_table[1][(crc >> 8) & 0xFF] ^ zeros_table[2][(crc >> 16) & 0xFF]
         ^ zeros_table[3][crc >> 24];
}

HARDWARE static uint32_t step_by_instruction(uint32_t crc, const unsigned char *bytes, size_t count) {
  for (; count >= 3 * RUN; bytes += 3 * RUN, count -= 3 * RUN) {
    uint32_t second = 0, third = 0;
    for (size_t i = 0; i < RUN; i += 8) {
      crc = step8(crc, load8(bytes + i));
      second = step8(second, load8(bytes + RUN + i));
      third = step8(third, load8(bytes + 2 * RUN + i));
    }
    crc = append_zeros(append_zeros(crc) ^ second) ^ third;
  }
  for (; count >= 8; bytes += 8, count -= 8) crc = step8(crc, load8(bytes));
  while (count--) crc = step1(crc, *bytes++);
  return crc;
}

#else

static bool has_instruction(void) { return false; }
static uint32_t step_by_instruction(uint32_t crc, const unsigned char *bytes, size_t count) {
  return step_by_table(crc, bytes, count);
}

#endif

uint32_t residual_crc32c(uint32_t crc, const void *bytes, size_t count) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_tables);
  return ~(has_instruction() ? step_by_instruction : step_by_table)(~crc, bytes, count);
}
