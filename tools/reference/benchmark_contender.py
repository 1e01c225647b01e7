#!/usr/bin/env python3
"""One side of a comparison: PyTorch, ONNX Runtime, OpenVINO or h5py, measured when it is told to.

The protocol, the same for our own side (`resnet benchmark --json ...` with the arguments below, less --engine and
--channels-last). A contender is a process. It loads what it needs, warms up, and then speaks in JSON objects, one a line:

    {"event": "loaded"}                                  once, before its first step
    {"event": "ready", "check": 2.31, "seconds": 0.32}   once, when it is warm; seconds a step, without the first
    {"event": "round", "seconds": 0.31}                  for each line `go` on its standard input; seconds a step
    {"event": "end", "peak_memory_bytes": N}             when its standard input ends; then it exits with 0

`check` is a number that all sides have to agree on: the loss of the first training step, the mean of the absolute
logits; the other rows have none. Our own rounds also have "peak_gflops", what the threads could do at best in float32,
and "processor_distance_ns", how long a cache line takes from one thread to another, both measured after the round.
Only the one that was told to go works: the sides alternate, all of them warm. Errors go to standard error, with exit code 1.

    --row train         a step: forward, cross entropy, backward, Adam (lr 1e-3); --steps of them a round
    --row inference     a forward in evaluation mode; --steps of them a round
    --row convolution   --steps backward passes (a round's seconds are for all of them) of a convolution of 4 to 2
                        channels, 3x5, kernel 3, stride 1, padding 3, batch 8; ours: --implementation matrix|loops
    --row load          the file --weights into the model
    --row save          the model's state dict to --file, with fsync

--weights is a state dict in HDF5, --data an HDF5 file with `images` [N, C, H, W] float32 and `labels` [N] int64.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import torch

import resnet
import state_file


def report(**fields):
    print(json.dumps(fields), flush=True)


def model_with_weights(arguments):
    model = resnet.build(arguments.model, arguments.channels, arguments.classes)
    model.load_state_dict(state_file.read(arguments.weights))
    return model


def memory_format(arguments):
    return torch.channels_last if arguments.channels_last else torch.contiguous_format


def precision(arguments):
    return torch.autocast("cpu", torch.bfloat16) if arguments.precision == "bf16" else contextlib.nullcontext()


def step_in_backward(parameter):
    """Has Adam update the parameter when its gradient is complete, which is gone then."""
    optimizer = torch.optim.Adam([parameter], lr=1e-3, fused=True)

    def update(_):
        optimizer.step()
        optimizer.zero_grad()

    parameter.register_post_accumulate_grad_hook(update)


def torch_train(arguments):
    data = state_file.read(arguments.data)
    model = model_with_weights(arguments).to(memory_format=memory_format(arguments)).train()
    images, labels = data["images"].contiguous(memory_format=memory_format(arguments)), data["labels"]
    optimizers = []  # those that step after the backward pass
    if arguments.step_in_backward:
        for parameter in model.parameters():
            step_in_backward(parameter)
    else:
        optimizers.append(torch.optim.Adam(model.parameters(), lr=1e-3, fused=True))

    def step():
        for optimizer in optimizers:
            optimizer.zero_grad()
        with precision(arguments):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return step


def torch_inference(arguments):
    model = model_with_weights(arguments).to(memory_format=memory_format(arguments)).eval()
    images = state_file.read(arguments.data)["images"].contiguous(memory_format=memory_format(arguments))

    def step():
        with torch.inference_mode(), precision(arguments):
            return model(images).float().abs().mean().item()

    return step


def torch_convolution(arguments):
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(4, 2, 3, 1, 3)
    x = torch.randn(8, 4, 3, 5, requires_grad=True)
    y = convolution(x)
    upstream = torch.ones_like(y)

    def step():
        convolution.zero_grad(set_to_none=False)
        x.grad = None
        y.backward(upstream, retain_graph=True)

    return step


def h5py_load(arguments):
    model = resnet.build(arguments.model, arguments.channels, arguments.classes)

    def step():
        model.load_state_dict(state_file.read(arguments.weights))

    return step


def h5py_save(arguments):
    state = model_with_weights(arguments).state_dict()

    def step():
        state_file.write(arguments.file, state)
        with open(arguments.file, "rb") as file:
            os.fsync(file.fileno())

    return step


def onnx_file(arguments):
    """The model as ONNX, beside the weights; exported once."""
    shape = (arguments.batch_size, arguments.channels, arguments.image_size, arguments.image_size)
    path = Path(arguments.weights).with_suffix("").with_name("x".join(map(str, shape)) + ".onnx")
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.redirect_stdout(sys.stderr):  # dynamo=False: ten times as fast, and nothing here needs more
            torch.onnx.export(model_with_weights(arguments).eval(), (torch.zeros(shape),), unfinished,
                              input_names=["images"], output_names=["logits"], dynamo=False)
        os.replace(unfinished, path)
    return path


def onnxruntime_inference(arguments):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(onnx_file(arguments), options, providers=["CPUExecutionProvider"])
    images = state_file.read(arguments.data)["images"].numpy()
    return lambda: float(abs(session.run(None, {"images": images})[0]).mean())


def openvino_inference(arguments):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "bf16" if arguments.precision == "bf16" else "f32"}
    compiled = openvino.Core().compile_model(onnx_file(arguments), "CPU", settings)
    request, images = compiled.create_infer_request(), state_file.read(arguments.data)["images"].numpy()
    return lambda: float(abs(request.infer([images])[0]).mean())


STEPS = {
    ("torch", "train"): torch_train,
    ("torch", "inference"): torch_inference,
    ("torch", "convolution"): torch_convolution,
    ("onnxruntime", "inference"): onnxruntime_inference,
    ("openvino", "inference"): openvino_inference,
    ("h5py", "load"): h5py_load,
    ("h5py", "save"): h5py_save,
}


def seconds_of(step, count):
    start = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="torch", choices=["torch", "onnxruntime", "openvino", "h5py"])
    parser.add_argument("--row", required=True, choices=["train", "inference", "convolution", "load", "save"])
    parser.add_argument("--model", default="resnet101", choices=resnet.NAMES, metavar="NAME")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the first round")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--step-in-backward", action="store_true",
                        help="Adam for each parameter when its gradient is complete")
    parser.add_argument("--weights", metavar="FILE.h5")
    parser.add_argument("--data", metavar="FILE.h5")
    parser.add_argument("--file", metavar="FILE.h5", help="what `save` writes")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    if (arguments.engine, arguments.row) not in STEPS:
        sys.exit(f"{arguments.engine} has no row {arguments.row}")
    step = STEPS[arguments.engine, arguments.row](arguments)
    report(event="loaded")
    check, warm = step(), max(1, arguments.warm_up - 1)
    report(event="ready", seconds=seconds_of(step, warm) / warm, **({"check": check} if check is not None else {}))
    for line in sys.stdin:
        if line.strip() != "go":
            sys.exit(f"told {line.strip()!r}, and knows only 'go'")
        seconds = seconds_of(step, arguments.steps)
        report(event="round", seconds=seconds if arguments.row == "convolution" else seconds / arguments.steps)
    report(event="end", peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
