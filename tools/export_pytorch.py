#!/usr/bin/env python3
"""Writes a PyTorch network or checkpoint as flat HDF5, which `resnet ... --weights FILE.h5` and h5py read.

    export_pytorch.py resnet101.h5 --model resnet101 --seed 0 --in-channels 1 --classes 10
    export_pytorch.py resnet20.h5 --checkpoint resnet20.th --add-num-batches-tracked
"""

import argparse
import pickle
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))
import resnet
import state_file


def state_of_model(arguments):
    torch.manual_seed(arguments.seed)
    return resnet.build(arguments.model, arguments.in_channels, arguments.classes).state_dict()


def state_of_checkpoint(path):
    """The tensors of a .pth, .pt or .th file; a wrapper's `state_dict` or `model` entry is unwrapped."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        cause = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        sys.exit(f"{path}: cannot be read as a PyTorch checkpoint of plain tensors: {cause}")
    while isinstance(state, dict) and any(isinstance(state.get(key), dict) for key in ("state_dict", "model")):
        state = state["state_dict"] if isinstance(state.get("state_dict"), dict) else state["model"]
    if not isinstance(state, dict) or not state:
        sys.exit(f"{path}: holds a {type(state).__name__}, not a state dict (names with tensors)")
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            sys.exit(f"{path}: {key!r} is a {type(value).__name__}, not a tensor; this is no state dict")
    return {key.removeprefix("module."): value.detach().cpu().contiguous() for key, value in state.items()}


def widened(state):
    """HDF5 and NumPy have no bfloat16: such tensors become float32, exactly."""
    narrow = [key for key, value in state.items() if value.dtype == torch.bfloat16]
    if narrow:
        print(f"{len(narrow)} bfloat16 tensors are written as float32, {narrow[0]} the first", file=sys.stderr)
    return {key: value.float() if value.dtype == torch.bfloat16 else value for key, value in state.items()}


def with_counters(state):
    """Adds `num_batches_tracked`, 0, after each `running_var` that lacks it (files of PyTorch before 0.4.1)."""
    result = {}
    for key, value in state.items():
        result[key] = value
        counter = key.removesuffix("running_var") + "num_batches_tracked"
        if key.endswith("running_var") and counter not in state:
            result[counter] = torch.tensor(0)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="the HDF5 file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", choices=resnet.NAMES, metavar="NAME", help=", ".join(resnet.NAMES))
    source.add_argument("--checkpoint", metavar="FILE", help="a .pth, .pt or .th file")
    parser.add_argument("--seed", type=int, default=0, help="torch's seed for a model's weights (0)")
    parser.add_argument("--in-channels", type=int, default=1, help="1 for MNIST, the default; 3 for colour")
    parser.add_argument("--classes", type=int, default=10, help="10 by default")
    parser.add_argument("--add-num-batches-tracked", action="store_true", help="add missing counters, as 0")
    arguments = parser.parse_args()

    state = state_of_checkpoint(arguments.checkpoint) if arguments.checkpoint else state_of_model(arguments)
    state = widened(with_counters(state) if arguments.add_num_batches_tracked else state)
    try:
        state_file.write(arguments.output, state)
    except OSError as error:
        sys.exit(f"{arguments.output}: cannot be written: {error}")
    count = sum(value.numel() for value in state.values())
    print(f"{arguments.output}: {len(state)} entries, {count:,} numbers")


if __name__ == "__main__":
    main()
