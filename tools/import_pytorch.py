#!/usr/bin/env python3
"""Loads an HDF5 file of ours into the PyTorch reference network, strictly, and saves it for torch.load if asked to.

    import_pytorch.py trained.h5 --model resnet101 --save trained.pth

Input channels and classes follow the file.
"""

import argparse
import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))
import resnet
import state_file


def network_for(name, state):
    """The network of that name, with the input channels, classes and options that the file's shapes show."""
    head = "linear" if name in resnet.CIFAR_RESNETS else "fc"
    stem = "conv" if name == "small-cnn" else "conv1"
    for key in (f"{stem}.weight", f"{head}.weight"):
        if key not in state:
            raise ValueError(f"it has no {key!r}, which every {name} has; is this file another model's?")
    in_channels, classes = state[f"{stem}.weight"].shape[1], state[f"{head}.weight"].shape[0]
    if name == "small-cnn":
        return resnet.SmallCNN(in_channels, classes, math.isqrt(state["fc.weight"].shape[1] // 32))
    projection = any(".downsample." in key for key in state)
    return resnet.build(
        name, in_channels, classes, shortcut="B" if projection else "A", batch_norm="bn1.weight" in state)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="the HDF5 file: weights, or a training checkpoint")
    parser.add_argument("--model", required=True, choices=resnet.NAMES, metavar="NAME", help=", ".join(resnet.NAMES))
    parser.add_argument("--save", metavar="FILE.pth", help="write the state dict with torch.save")
    arguments = parser.parse_args()

    try:
        state = state_file.read(arguments.input)
    except OSError as error:
        sys.exit(f"{arguments.input}: cannot be read as HDF5: {error}")
    try:
        model = network_for(arguments.model, state)
        model.load_state_dict(state, strict=True)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{arguments.input}: does not fit {arguments.model}: {error}")
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{arguments.input}: all {len(state)} entries loaded into {arguments.model}, {count:,} parameters")
    if arguments.save:
        try:
            torch.save(model.state_dict(), arguments.save)
        except (OSError, RuntimeError) as error:
            sys.exit(f"{arguments.save}: cannot be written: {error}")
        print(f"{arguments.save}: written")


if __name__ == "__main__":
    main()
