#!/usr/bin/env python3
"""Writes what PyTorch computes for each parity case, in float64, in float32 and, where convolutions or linear layers take
part, in bfloat16 mixed precision, for the Swift tests to compare with.

    parity.py OUT_DIR [--only NAME ...]

OUT_DIR/cases.json lists the cases: name, file, layer, arguments, mode, input_shape, weights_file, mixed_precision. Each
case's HDF5 file holds, flat at the root, in logical NCHW:

    input, upstream             float32: the input and dJ/d(output), the same numbers for every precision
    target                      losses only: class indices, int64 [N], or probabilities, float32 [N, C]
    weight.KEY                  parameters and buffers before the case; what is missing is in `weights_file`
    expected.output             float64, from a float64 run: the oracle
    expected.input_grad, expected.grad.KEY, expected.buffer.KEY (buffers after the forward)
    torch32.(the same names)    float32, from PyTorch's own float32 run
    torch16.(the same names)    float32, from PyTorch's run under bfloat16 autocast, where mixed_precision is true

A relative L2 error is |x - expected| / |expected|. Optimizers and initialisations: see parity_optimizers.py and
parity_initialization.py, which this calls.
"""

import argparse
import copy
import ctypes
import json
import sys
import zlib
from pathlib import Path

import torch

import parity_cases
import parity_initialization
import parity_optimizers
import resnet
import state_file


def relative_error(value, expected):
    value, expected = value.double(), expected.double()
    scale = expected.norm().item()
    return (value - expected).norm().item() / scale if scale else value.norm().item()


def keep_from_zero(module, x):
    """Moves biases a little, so that no ReLU meets a value within rounding error of 0.

    There the gradient jumps: which side a unit falls on would be a matter of luck, one such unit changes every gradient
    below it by far more than rounding does, and a network has many. So each channel's bias, in the order of the forward
    pass, goes to the middle of the largest gap between that channel's values near 0, at most a tenth of their standard
    deviation away.
    """
    trial = copy.deepcopy(module).double()
    bias_before = []  # the bias that was added last: batch norm's or, without batch norm, the convolution's

    def remember(layer, *_):
        bias_before[:] = [layer.bias]

    def shift(_, inputs):
        values = inputs[0].detach().transpose(0, 1).flatten(1).sort(1).values
        middle, half_gap = -(values[:, 1:] + values[:, :-1]) / 2, (values[:, 1:] - values[:, :-1]) / 2
        limit = 0.1 * values.std(1, keepdim=True)
        best, index = half_gap.where(middle.abs() <= limit, -1).max(1)
        move = middle.gather(1, index[:, None])[:, 0].where(best > values.abs().amin(1), 0)
        bias = bias_before[0]
        moved = (bias + move).float().double()
        difference = (moved - bias)[:, None, None]
        bias.copy_(moved)
        return inputs[0] + difference

    for layer in trial.modules():
        if isinstance(layer, torch.nn.ReLU):
            layer.register_forward_pre_hook(shift)
        elif getattr(layer, "bias", None) is not None:
            layer.register_forward_hook(remember)
    with torch.no_grad():
        trial(x.double())
        for parameter, moved in zip(module.parameters(), trial.parameters()):
            parameter.copy_(moved)


def prepare(case):
    """The module with its initial weights, the input, the target and dJ/d(output), by the case's own seed."""
    seed_name = case.weights_of or case.name
    torch.manual_seed(zlib.crc32(seed_name.encode()))
    module = parity_cases.make_module(case.layer, case.arguments)
    for name, parameter in module.named_parameters():
        if parameter.dim() == 1 and case.layer != "resnet":  # batch norm starts at 1 and 0, which would hide mistakes
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.5)
    if case.layer == "resnet":
        resnet.soften_residual_branches(module)
    module.train()
    with torch.no_grad():
        for _ in range(case.warm_up):
            module(parity_cases.make_input(case))
    module.train(case.mode == "train")
    x = parity_cases.make_input(case)
    if case.layer in ("bottleneck", "basic_block", "resnet", "sequential"):
        keep_from_zero(module, x)
    target = None
    if case.target == "classes":
        target = torch.randint(case.shape[1], (case.shape[0],))
    elif case.target == "probabilities":
        target = torch.softmax(torch.randn(case.shape), 1)
    with torch.no_grad():
        trial = copy.deepcopy(module)
        trial.target = target
        upstream = torch.randn(trial(x).shape)
    return module, x, target, upstream


def clear_new_memory():
    """Has glibc clear whatever it hands out from now on.

    oneDNN's bfloat16 kernel for the weight gradient of a strided 3x3 convolution of a 1x1 image (`jit_bf16:avx512_core`,
    v3.13) leaves the taps that meet only padding unwritten: PyTorch's result is then what lay there before. It is 0.
    """
    M_PERTURB = -6  # malloc.h: new memory is filled with the complement of the value's low byte
    if sys.platform == "linux" and ctypes.CDLL(None).mallopt(M_PERTURB, 0xFF) != 1:
        sys.exit("glibc's mallopt refuses to clear new memory")


def run(module, x, target, upstream, dtype, mixed=False):
    """One forward and backward in that precision, `mixed` under autocast to bfloat16; the results by name."""
    module = copy.deepcopy(module).to(dtype)
    if target is not None:
        module.target = target
    x = x.to(dtype, copy=True).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        y = module(x)
    y.backward(upstream.to(y.dtype))
    results = {"output": y, "input_grad": x.grad}
    results |= {f"grad.{key}": p.grad for key, p in module.named_parameters() if p.requires_grad}
    results |= {f"buffer.{key}": buffer for key, buffer in module.named_buffers()}
    return results


def write_case(case, cases, folder):
    """Writes the case's file; returns PyTorch's largest float32 error and the name of the result that has it."""
    module, x, target, upstream = prepare(case)
    oracle = run(module, x, target, upstream, torch.float64)
    single = run(module, x, target, upstream, torch.float32)
    content = {"input": x, "upstream": upstream}
    if target is not None:
        content["target"] = target
    shared = prepare(cases[case.weights_of])[0].state_dict() if case.weights_of else {}
    content |= {f"weight.{key}": value for key, value in module.state_dict().items()
                if key not in shared or not torch.equal(value, shared[key])}
    content |= {f"expected.{name}": value for name, value in oracle.items()}
    content |= {f"torch32.{name}": value for name, value in single.items()}
    if case.mixed_precision:
        mixed = run(module, x, target, upstream, torch.float32, mixed=True)
        content |= {f"torch16.{name}": value.float() if value.is_floating_point() else value
                    for name, value in mixed.items()}
    for name, value in content.items():
        if value.is_floating_point() and not value.isfinite().all():
            sys.exit(f"{case.name}: PyTorch's {name} is not finite, and nothing can be compared with it")
    state_file.write(folder / f"{case.name}.h5", content)
    return max((relative_error(single[name], value), name) for name, value in oracle.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write; made if need be")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these cases")
    parser.add_argument("--verbose", action="store_true", help="a line a case, with PyTorch's largest float32 error")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    clear_new_memory()

    cases = {case.name: case for case in parity_cases.all_cases()}
    unknown = [name for name in arguments.only or [] if name not in cases]
    if unknown:
        sys.exit(f"no parity case is called {', '.join(unknown)}")
    chosen = [cases[name] for name in arguments.only or cases]
    for case in chosen:
        error, name = write_case(case, cases, arguments.folder)
        if arguments.verbose:
            print(f"{case.name:45} {error:.1e} {name}", flush=True)
    if not arguments.only:
        parity_optimizers.write(arguments.folder)
        parity_initialization.write(arguments.folder)
    entries = [case.description() for case in chosen]
    # Last, so that a folder with cases.json is complete.
    (arguments.folder / "cases.json").write_text(json.dumps(entries, indent=1) + "\n")
    size = sum(path.stat().st_size for path in arguments.folder.iterdir())
    print(f"{len(chosen)} parity cases in {arguments.folder}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
