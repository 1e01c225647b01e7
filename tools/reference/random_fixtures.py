"""Writes Tests/TensorTests/Fixtures/random.json: random numbers as PyTorch draws them on the CPU.

    python tools/reference/random_fixtures.py

Floats are written as the integers of their bit patterns, so that a comparison can be exact. Long sequences are
written as their first and last values and a checksum: sum((i + 1) * value[i]) modulo 2^32.
"""

import json
import pathlib

import torch

TARGET = pathlib.Path(__file__).parents[2] / "Tests" / "TensorTests" / "Fixtures" / "random.json"


def bits(tensor):
    return [value & 0xFFFFFFFF for value in tensor.view(torch.int32).tolist()]


def long_sequence(values):
    checksum = sum((i + 1) * value for i, value in enumerate(values)) % 2**32
    return {"count": len(values), "first": values[:8], "last": values[-8:], "checksum": checksum}


def draws(seed):
    """The low 27 bits of draws: an integer below 2^27 is one draw modulo 2^27 (from 2^28 on PyTorch takes two)."""
    torch.manual_seed(seed)
    return torch.empty(700, dtype=torch.int64).random_(0, 2**27).tolist()


def uniform(seed, count, low, high):
    torch.manual_seed(seed)
    values = bits(torch.empty(count).uniform_(low, high))
    return {"seed": seed, "low": low, "high": high, "values": long_sequence(values)}


def normal(seed, count, mean, std, written=list):
    torch.manual_seed(seed)
    values = bits(torch.empty(count).normal_(mean, std))
    return {"seed": seed, "mean": mean, "std": std, "values": written(values)}


def bernoulli(seed, count, probability):
    torch.manual_seed(seed)
    values = [int(value) for value in torch.empty(count).bernoulli_(probability).tolist()]
    return {"seed": seed, "probability": probability, "values": long_sequence(values)}


def randperm(seed, count):
    torch.manual_seed(seed)
    return {"seed": seed, "values": long_sequence(torch.randperm(count).tolist())}


def mixed(seed):
    """Short and long draws in turn: the second value of a pair outlives whatever is drawn in between."""
    torch.manual_seed(seed)
    return {
        "seed": seed,
        "normal5": bits(torch.empty(5).normal_(1, 2)),
        "uniform7": bits(torch.empty(7).uniform_(-1, 1)),
        "normal33": bits(torch.empty(33).normal_(0, 1)),
        "normal2": bits(torch.empty(2).normal_(-3, 0.5)),
        "randperm10": torch.randperm(10).tolist(),
        "normal1": bits(torch.empty(1).normal_(0, 1)),
        "bernoulli9": [int(value) for value in torch.empty(9).bernoulli_(0.5).tolist()],
    }


def main():
    fixture = {
        "torch": torch.__version__,
        "draws": [{"seed": seed, "values": long_sequence(draws(seed))} for seed in (0, 42, 2**32 + 42)],
        "uniform": [
            uniform(0, 8, 0.0, 1.0),
            uniform(0, 10_000, -0.17320508, 0.17320508),
            uniform(7, 10_000, 1.5, 9.1),
        ],
        "normal": [
            normal(0, 1, 0.0, 1.0),
            normal(0, 15, 0.5, 0.1),
            normal(0, 16, 0.0, 1.0),
            normal(1, 17, -2.0, 3.0),
            normal(5, 103, 0.0, 0.02),
        ],
        "longNormal": [normal(2, 200_005, 0.0, 1.0, long_sequence), normal(6, 100_000, 0.5, 0.02, long_sequence)],
        "bernoulli": [bernoulli(0, 5, 0.5), bernoulli(3, 1000, 0.1)],
        "randperm": [randperm(0, 8), randperm(0, 60_000), randperm(9, 1), randperm(9, 0)],
        "mixed": mixed(11),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(fixture) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
