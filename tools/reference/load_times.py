#!/usr/bin/env python3
"""How long it takes until a model holds a file's weights, in every format: ours beside PyTorch's ways.

    load_times.py FOLDER --resnet .build/release/resnet --model resnet101 --rounds 15

FOLDER is one that format_matrix.py has filled: model.pth, model.safetensors, model.h5, model.npz. Ours is `resnet
benchmark --row load`, theirs `load_state_dict` of what torch.load, safetensors, h5py and numpy.load give, on as many
threads; both sides are warm, the files in the page cache, and they take turns. Prints medians in milliseconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

import resnet
import state_file


def read_npz(path):
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


READERS = {
    "pth": ("torch.load", lambda path: torch.load(path, weights_only=True)),
    "pth, mapped": ("torch.load(mmap=True)", lambda path: torch.load(path, weights_only=True, mmap=True)),
    "safetensors": ("safetensors", safetensors.torch.load_file),
    "h5": ("h5py", state_file.read),
    "npz": ("numpy.load", read_npz),
}


class Ours:
    """Our program, warm and waiting."""

    def __init__(self, arguments, path):
        self.process = subprocess.Popen(
            [arguments.resnet, "benchmark", "--row", "load", "--weights", path, "--model", arguments.model, "--channels",
             "3", "--classes", "1000", "--steps", "1", "--threads", str(arguments.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("resnet benchmark ended; its error is above")
        return json.loads(line)

    def seconds(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()


def measure(arguments, model, ending, read):
    path = arguments.folder / f"model.{ending.split(',')[0]}"
    ours = Ours(arguments, path)
    times = {"ours": [], "theirs": []}
    for round_number in range(-2, arguments.rounds):
        mine = ours.seconds()
        start = time.perf_counter()
        model.load_state_dict(read(path))
        other = time.perf_counter() - start
        if round_number >= 0:
            times["ours"].append(mine)
            times["theirs"].append(other)
    ours.close()
    return {side: 1000 * statistics.median(values) for side, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resnet", required=True, type=Path, metavar="PROGRAM", help="the built command")
    parser.add_argument("--model", default="resnet101", choices=resnet.NAMES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = resnet.build(arguments.model, 3, 1000)
    print(f"{'format':14}{'ours':>10}{'theirs':>10}  theirs/ours")
    for ending, (name, read) in READERS.items():
        medians = measure(arguments, model, ending, read)
        ratio = medians["theirs"] / medians["ours"]
        print(f"{ending:14}{medians['ours']:8.1f}ms{medians['theirs']:8.1f}ms  {ratio:.2f}  ({name})", flush=True)


if __name__ == "__main__":
    main()
