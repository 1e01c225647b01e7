#!/usr/bin/env python3
"""Runs a failed parity case again in PyTorch, from the dump that the Swift test wrote.

    replay.py parity-failures/CASE.h5

The dump holds `input`, `upstream`, `weight.KEY`, for losses `target`, and the Swift results as `actual.output`,
`actual.input_grad`, `actual.grad.KEY` and `actual.buffer.KEY`. Its name tells the case, or --case does. For each result
the table shows the relative L2 error of ours and of PyTorch's float32 against a new float64 run.
"""

import argparse
import sys
from pathlib import Path

import torch

import parity
import parity_cases
import state_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--case", help="the case's name, where the file is called otherwise")
    arguments = parser.parse_args()

    cases = {case.name: case for case in parity_cases.all_cases()}
    name = arguments.case or arguments.dump.stem
    if name not in cases:
        sys.exit(f"no parity case is called {name!r}; say which one the dump is of with --case NAME")
    try:
        dump = state_file.read(arguments.dump)
    except OSError as error:
        sys.exit(f"{arguments.dump}: cannot be read as HDF5: {error}")

    case = cases[name]
    module = parity_cases.make_module(case.layer, case.arguments).train(case.mode == "train")
    module.load_state_dict({key.removeprefix("weight."): value for key, value in dump.items()
                            if key.startswith("weight.")})
    inputs = dump["input"], dump.get("target"), dump["upstream"]
    oracle = parity.run(module, *inputs, torch.float64)
    single = parity.run(module, *inputs, torch.float32)

    print(f"{name}: {case.layer} {case.arguments}, {case.mode}\n{'result':44}{'ours':>10}{'PyTorch':>10}")
    for result, expected in oracle.items():
        actual = dump.get(f"actual.{result}")
        ours = "missing" if actual is None else f"{parity.relative_error(actual, expected):.2e}"
        print(f"{result:44}{ours:>10}{parity.relative_error(single[result], expected):>10.2e}")


if __name__ == "__main__":
    main()
