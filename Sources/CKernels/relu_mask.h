// Which elements a ReLU lets through, one bit for each: what a backward pass reads in place of the result.
//
// A row of channels takes rk_relu_mask_bytes; channel c is bit c % 8 of byte c / 8. A vector of bools lies in memory like that.
#ifndef RESIDUAL_RELU_MASK_H
#define RESIDUAL_RELU_MASK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first bit is in the first byte"
#endif

/// What the writing passes work on at a time.
enum { LANES = 16 };
typedef float floats __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));
typedef bool flags __attribute__((ext_vector_type(LANES)));

/// Stores or loads the flags of a row's channels from `c` on, a multiple of their number.
#define STORE_MASK(row, c, flags) memcpy((row) + (c) / 8, &(flags), sizeof(flags))
#define LOAD_MASK(row, c, flags) memcpy(&(flags), (row) + (c) / 8, sizeof(flags))

/// The same of one channel; those of a byte come in order.
static inline void rk_store_mask_bit(uint8_t *row, size_t c, bool passes) {
  uint8_t before = c % 8 == 0 ? 0 : row[c / 8];
  row[c / 8] = (uint8_t)(before | passes << c % 8);
}

static inline bool rk_mask_bit(const uint8_t *row, size_t c) { return row[c / 8] >> c % 8 & 1; }

#endif
