#!/usr/bin/env python3
"""A PyTorch network in every format, read and converted by `resnet`: all must hold the same bytes.

    format_matrix.py --resnet .build/release/resnet --model resnet101 FOLDER

Writes model.pth (torch.save), model.safetensors (safetensors), model.h5 (h5py) and model.npz (NumPy) to FOLDER; compares
each with the first by `resnet diff`; then converts each to each of the four formats and back, and compares what came
back with where it came from. Needs torch, safetensors, h5py and numpy. The files are left there.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

import resnet
import state_file

FORMATS = ("pth", "safetensors", "h5", "npz")


def write_all(state, folder):
    torch.save(state, folder / "model.pth")
    safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    state_file.write(folder / "model.h5", state)
    np.savez(folder / "model.npz", **{key: value.numpy() for key, value in state.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resnet", required=True, type=Path, metavar="PROGRAM", help="the built command")
    parser.add_argument("--model", default="resnet101", choices=resnet.NAMES, metavar="NAME")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    model = resnet.build(arguments.model, 3, 1000)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            # Statistics as after training: not all zeros and ones.
            buffer.copy_(torch.randint(1, 1000, buffer.shape) if "tracked" in name else torch.rand(buffer.shape))
    write_all(model.state_dict(), folder)

    failures = 0

    def run(verb, *files):
        nonlocal failures
        result = subprocess.run([arguments.resnet, verb, *files], capture_output=True, text=True)
        if result.returncode:
            failures += 1
            print(f"FAILED: {verb} {' '.join(map(str, files))}: {result.stderr.strip()}")
        return (result.stdout.strip().splitlines() or [""])[-1]

    for ending in FORMATS[1:]:
        print(f"PyTorch's .pth and .{ending}: {run('diff', folder / 'model.pth', folder / f'model.{ending}')}")
    for source in FORMATS:
        for target in FORMATS:
            there, back = folder / f"there.{target}", folder / f"back.{source}"
            run("convert", folder / f"model.{source}", there)
            run("convert", there, back)
            print(f".{source} -> .{target} -> .{source}: {run('diff', folder / f'model.{source}', back)}")
    print(f"{failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
