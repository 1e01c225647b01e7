// Convolution with bfloat16 operands and float sums: the twin of conv2d.h for mixed precision.
//
// Activations and output gradients are bfloat16 in the layouts of conv2d.h, results are float, weights stay float and
// are rounded as they are packed. Every instruction set gives the same bits, those of AVX-512 BF16 (VDPBF16PS), which
// counts denormals as zero; AMX alone (TDPBF16PS) adds up in another order.
#ifndef RESIDUAL_CONV2D_BF16_H
#define RESIDUAL_CONV2D_BF16_H

#include <stdint.h>

#include "conv2d.h"

/// Products are taken in pairs of channels: both channel counts must be even.
bool rk_conv2d_bf16_supported(const rk_conv2d *shape);

/// bfloat16 values that the packed weight takes.
size_t rk_conv2d_bf16_packed_count(const rk_conv2d *shape, rk_pack pack);
size_t rk_conv2d_bf16_pack_tasks(const rk_conv2d *shape, rk_pack pack);
void rk_conv2d_bf16_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, uint16_t *packed, size_t task);

size_t rk_conv2d_bf16_forward_tasks(const rk_conv2d *shape);
/// `rounded` is NULL, or gets the finished output as bfloat16, too: for the next convolution.
void rk_conv2d_bf16_forward(const rk_conv2d *shape, const uint16_t *input, const uint16_t *packed,
                            const rk_epilogue *epilogue, float *output, uint16_t *rounded, size_t task);

size_t rk_conv2d_bf16_backward_input_tasks(const rk_conv2d *shape);
void rk_conv2d_bf16_backward_input(const rk_conv2d *shape, const uint16_t *grad_output, const uint16_t *packed,
                                   bool accumulate, float *grad_input, size_t task);

// With the weight as it is, as in conv2d.h.

/// Whether the direct functions are the faster way to use a weight once.
bool rk_conv2d_bf16_forward_prefers_direct(const rk_conv2d *shape);
bool rk_conv2d_bf16_backward_input_prefers_direct(const rk_conv2d *shape);

size_t rk_conv2d_bf16_forward_direct_tasks(const rk_conv2d *shape);
void rk_conv2d_bf16_forward_direct(const rk_conv2d *shape, const uint16_t *input, const float *weight,
                                   const rk_epilogue *epilogue, float *output, size_t task);
size_t rk_conv2d_bf16_backward_input_direct_tasks(const rk_conv2d *shape);
void rk_conv2d_bf16_backward_input_direct(const rk_conv2d *shape, const uint16_t *grad_output, const float *weight,
                                          bool accumulate, float *grad_input, size_t task);

/// Taps that meet only padding may be left unwritten here, too.
size_t rk_conv2d_bf16_backward_weight_tasks(const rk_conv2d *shape);
void rk_conv2d_bf16_backward_weight(const rk_conv2d *shape, const uint16_t *input, const uint16_t *grad_output,
                                    bool accumulate, float *grad_weight, size_t task);

#endif
