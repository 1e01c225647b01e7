// What a core can do at best: the yardstick that the share of peak is measured with.
#ifndef RESIDUAL_PEAK_H
#define RESIDUAL_PEAK_H

#include <stddef.h>

/// Runs `repeats` rounds of independent fused multiply-adds in registers and returns how many floating-point operations
/// that was, 2 for each multiply-add.
double rk_peak_operations(size_t repeats);

#endif
