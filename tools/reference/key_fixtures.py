"""Writes Tests/NNTests/Fixtures/keys.json: the keys and shapes of PyTorch's state dicts, in their order.

    python tools/reference/key_fixtures.py

One channel and ten classes, as for MNIST.
"""

import json
import pathlib

import resnet

TARGET = pathlib.Path(__file__).parents[2] / "Tests" / "NNTests" / "Fixtures" / "keys.json"
MODELS = ["resnet18", "resnet50", "resnet101", "cifar-resnet20", "small-cnn"]


def entries(name):
    state = resnet.build(name, in_channels=1, classes=10).state_dict()
    return [[key, list(tensor.shape)] for key, tensor in state.items()]


def main():
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({name: entries(name) for name in MODELS}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
