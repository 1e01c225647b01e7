// Turns the bits of a random generator into numbers of a distribution, with the arithmetic of PyTorch's AVX2 build.
//
// Unlike other kernels, these give the same bits on every instruction set: each fused multiply-add is written out and
// nothing else is contracted.
#ifndef RESIDUAL_RANDOM_H
#define RESIDUAL_RANDOM_H

#include <stddef.h>

/// Replaces `count` random 32-bit words, stored where floats are meant, by uniform numbers from [low, low + width): the
/// low 24 bits of each word times 2^-24 * width, plus low.
void rk_uniform_from_words(void *words, size_t count, float low, float width);

/// Replaces runs of 16 uniform numbers from [0, 1) by normal ones (Box and Muller 1958): number j of a run makes the
/// radius and number j + 8 the angle of a pair, whose cosine goes to j and whose sine to j + 8.
void rk_normal_from_uniform(float *x, size_t runs, float mean, float std);

#endif
