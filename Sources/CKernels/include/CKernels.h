// Vector kernels of Residual: everything that touches every element of a tensor. And what Swift can't call: pages.h.
//
// Conventions that hold for every function here:
//  - Matrices are row-major. Activations are [H, W, N, C]: a "row" is one position of one image, C floats long.
//  - No function allocates, locks or starts a thread. Work is cut into tasks or ranges whose number and order depend on
//    the shapes alone, so that any number of threads produces the same bits.
//  - Every function picks its instruction set by rk_isa_current(); the portable path is the reference the others are
//    tested against.
#ifndef RESIDUAL_CKERNELS_H
#define RESIDUAL_CKERNELS_H

#include "batch_norm.h"
#include "bfloat16.h"
#include "conv2d.h"
#include "conv2d_bf16.h"
#include "cpu.h"
#include "elementwise.h"
#include "layout.h"
#include "optimizer.h"
#include "pages.h"
#include "peak.h"
#include "pool.h"
#include "random.h"
#include "softmax.h"

#endif
