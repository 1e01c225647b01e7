#!/usr/bin/env python3
"""Ten SGD steps of ResNet-101 on MNIST in PyTorch, in float64 and float32, for ours to be compared with.

    loss_curve.py --mnist FOLDER --weights-out resnet101.h5 --out curve.json

The batches are the first images of the training set in the file's order, padded to 32x32, pixels in 0..1. The weights
are the seed's with softened residual branches (see resnet.py) and the learning rate is small, or rounding would have
grown into chaos by the second step. curve.json holds the settings and a list of losses, each before its step, for
`float64`, `float32` and `float32_channels_last`: two float32 runs, because one says little about how far rounding goes.
`images` says where the images are.
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import torch

import mnist
import resnet
import state_file


def losses(model, x, labels, settings, dtype, memory_format=torch.contiguous_format):
    model = copy.deepcopy(model).to(dtype=dtype, memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"], momentum=settings["momentum"])
    values = []
    for step in range(settings["steps"]):
        batch = slice(step * settings["batch_size"], (step + 1) * settings["batch_size"])
        optimizer.zero_grad()
        images = x[batch].to(dtype=dtype, memory_format=memory_format)
        loss = torch.nn.functional.cross_entropy(model(images), labels[batch])
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", required=True, metavar="FOLDER")
    parser.add_argument("--weights-out", required=True, metavar="FILE.h5", help="the weights that all runs start from")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.json")
    parser.add_argument("--model", default="resnet101", choices=resnet.NAMES, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--momentum", type=float, default=0.9)
    arguments = parser.parse_args()

    try:
        images, labels = mnist.load(arguments.mnist, limit=arguments.steps * arguments.batch_size)
    except OSError as error:
        sys.exit(f"MNIST cannot be read: {error}")
    x = mnist.pixels(images, arguments.image_size)
    torch.manual_seed(arguments.seed)
    model = resnet.build(arguments.model, 1, 10)
    resnet.soften_residual_branches(model, 0.05)
    state_file.write(arguments.weights_out, model.state_dict())

    settings = {name: getattr(arguments, name)
                for name in ("model", "seed", "steps", "batch_size", "image_size", "lr", "momentum")}
    settings["images"] = str(Path(arguments.mnist).resolve())
    curves = {}
    for name, dtype, memory_format in [("float64", torch.float64, torch.contiguous_format),
                                       ("float32", torch.float32, torch.contiguous_format),
                                       ("float32_channels_last", torch.float32, torch.channels_last)]:
        start = time.perf_counter()
        curves[name] = losses(model, x, labels, settings, dtype, memory_format)
        print(f"{name:22} {time.perf_counter() - start:5.1f} s  " + " ".join(f"{loss:.6f}" for loss in curves[name]))
    arguments.out.write_text(json.dumps(settings | curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
