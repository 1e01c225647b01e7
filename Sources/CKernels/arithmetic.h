// Arithmetic of sizes and offsets.
#ifndef RESIDUAL_ARITHMETIC_H
#define RESIDUAL_ARITHMETIC_H

#include <stddef.h>

static inline size_t minimum(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t maximum(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

/// x from `offset` on; NULL stays NULL.
static inline const float *from_offset(const float *x, size_t offset) { return x != NULL ? x + offset : NULL; }

#endif
