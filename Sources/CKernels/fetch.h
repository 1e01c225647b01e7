// Floats that are wanted soon.
#ifndef RESIDUAL_FETCH_H
#define RESIDUAL_FETCH_H

#include <stddef.h>

/// Has `count` floats come to the cache meanwhile; they need not exist.
static inline __attribute__((always_inline)) void rk_fetch(const float *x, size_t count) {
  enum { LINE = 64 / sizeof(float) };
  for (size_t i = 0; i < count; i += LINE) __builtin_prefetch(x + i);
}

#endif
