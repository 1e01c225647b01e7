// 2-d convolution (cross-correlation, as in PyTorch) as matrix multiplication, with nothing unrolled in memory.
//
// Input [H, W, N, I], weight [KH, KW, O, I], output [OH, OW, N, O]. A linear layer is the 1x1 case with H = W = 1.
// Each operation is a fixed number of tasks, a function of the shape alone; tasks of one operation may run in any order
// and on any threads, and together write every element of the result.
#ifndef RESIDUAL_CONV2D_H
#define RESIDUAL_CONV2D_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  size_t batch, height, width, in_channels;
  size_t out_channels, kernel_height, kernel_width;
  size_t stride_height, stride_width, padding_height, padding_width;
  size_t out_height, out_width;
} rk_conv2d;

/// Weights rearranged for the microkernels: one arrangement for the forward pass, one for the input gradient.
typedef enum { RK_PACK_FORWARD = 0, RK_PACK_BACKWARD_INPUT = 1 } rk_pack;

/// A number for how the weight is packed. Images of other sizes may want another arrangement.
int rk_conv2d_arrangement(const rk_conv2d *shape);
/// Floats that the packed weight takes.
size_t rk_conv2d_packed_count(const rk_conv2d *shape, rk_pack pack);
size_t rk_conv2d_pack_tasks(const rk_conv2d *shape, rk_pack pack);
void rk_conv2d_pack(const rk_conv2d *shape, rk_pack pack, const float *weight, float *packed, size_t task);

/// What happens to an output element after its sum is complete: * scale[c], + bias[c], + residual[same index],
/// max(0, .), in this order; NULL and false leave a step out. The residual may not be the output.
typedef struct {
  const float *scale;
  const float *bias;
  const float *residual;
  bool relu;
} rk_epilogue;

size_t rk_conv2d_forward_tasks(const rk_conv2d *shape);
void rk_conv2d_forward(const rk_conv2d *shape, const float *input, const float *packed, const rk_epilogue *epilogue,
                       float *output, size_t task);

/// grad_input [H, W, N, I] = (or += when `accumulate`) the gradient with respect to the input.
size_t rk_conv2d_backward_input_tasks(const rk_conv2d *shape);
void rk_conv2d_backward_input(const rk_conv2d *shape, const float *grad_output, const float *packed, bool accumulate,
                              float *grad_input, size_t task);

/// Whether the tap, kh * KW + kw, meets anything but padding.
bool rk_conv2d_tap_meets_data(const rk_conv2d *shape, size_t tap);

/// grad_weight [KH, KW, O, I] = (or += when `accumulate`) the gradient with respect to the weight. That of a tap that
/// meets only padding is zero, and may be left unwritten.
size_t rk_conv2d_backward_weight_tasks(const rk_conv2d *shape);
void rk_conv2d_backward_weight(const rk_conv2d *shape, const float *input, const float *grad_output, bool accumulate,
                               float *grad_weight, size_t task);

// Forward and input gradient with the weight as it is, [KH, KW, O, I]: every task packs what it needs for itself.
// Faster than packing first when the weight is used once (in training) and large beside the number of rows: packed
// panels never reach memory, and taps that meet only padding are not even read. The gradient of few input channels needs
// no packing at all.

/// Whether the direct functions are the faster way to use a weight once.
bool rk_conv2d_forward_prefers_direct(const rk_conv2d *shape);
bool rk_conv2d_backward_input_prefers_direct(const rk_conv2d *shape);

size_t rk_conv2d_forward_direct_tasks(const rk_conv2d *shape);
void rk_conv2d_forward_direct(const rk_conv2d *shape, const float *input, const float *weight,
                              const rk_epilogue *epilogue, float *output, size_t task);
size_t rk_conv2d_backward_input_direct_tasks(const rk_conv2d *shape);
void rk_conv2d_backward_input_direct(const rk_conv2d *shape, const float *grad_output, const float *weight,
                                     bool accumulate, float *grad_input, size_t task);

// The forward pass as the transposed product, with the weight as it is and the input packed: for outputs of one position,
// 1x1 kernels and 3x3 kernels over images of 2x2. Where output rows are few beside the weight that costs less.

/// Whether the sizes allow it, and whether it is the fastest way to use a weight once.
bool rk_conv2d_forward_can_be_transposed(const rk_conv2d *shape);
bool rk_conv2d_forward_prefers_transposed(const rk_conv2d *shape);

/// The input as it wants it, and the floats that takes.
size_t rk_conv2d_packed_rows_count(const rk_conv2d *shape);
size_t rk_conv2d_pack_rows_tasks(const rk_conv2d *shape);
void rk_conv2d_pack_rows(const rk_conv2d *shape, const float *input, float *packed, size_t task);

size_t rk_conv2d_forward_transposed_tasks(const rk_conv2d *shape);
void rk_conv2d_forward_transposed(const rk_conv2d *shape, const float *packed_rows, const float *weight,
                                  const rk_epilogue *epilogue, float *output, size_t task);

// The same three by plain loops over every index, single-threaded, weights unpacked: the readable reference.
void rk_conv2d_forward_loops(const rk_conv2d *shape, const float *input, const float *weight, const float *bias,
                             float *output);
void rk_conv2d_backward_input_loops(const rk_conv2d *shape, const float *grad_output, const float *weight,
                                    float *grad_input);
void rk_conv2d_backward_weight_loops(const rk_conv2d *shape, const float *input, const float *grad_output,
                                     float *grad_weight);

#endif
