"""The weights that `torch.manual_seed(seed)` gives a layer or a network, so that seeds mean the same in Swift.

initialization.json lists the cases: name, file, layer, arguments (as in cases.json), seed, and whether the file is
`whole`: then it holds every entry of the state dict by its key. Else it holds, of each key, `first.KEY` and `last.KEY`
(float32, at most 8 values each, in PyTorch's order of elements) and `sum.KEY` and `absolute_sum.KEY` (float64).
A case with two layers (`sequential`) shows that the generator goes on from one layer to the next.
"""

import json

import torch

import parity_cases
import state_file


def network(model, in_channels=1, classes=10, **options):
    return dict(model=model, in_channels=in_channels, classes=classes, **options)


def convolution(in_channels, out_channels, kernel, bias):
    return dict(in_channels=in_channels, out_channels=out_channels, kernel_size=[kernel, kernel], stride=[1, 1],
                padding=[0, 0], bias=bias)


RESNET = dict(stride_in_1x1=False, shortcut="B", batch_norm=True)
CASES = [  # name, layer, arguments, seed, whole
    ("linear", "linear", dict(in_features=20, out_features=7, bias=True), 0, True),
    ("linear-small", "linear", dict(in_features=3, out_features=2, bias=True), 0, True),
    ("linear-no-bias", "linear", dict(in_features=5, out_features=3, bias=False), 42, True),
    ("conv2d", "conv2d", convolution(3, 8, 3, True), 0, True),
    ("conv2d-no-bias", "conv2d", convolution(1, 4, 5, False), 7, True),
    ("conv2d-large-seed", "conv2d", convolution(2, 2, 2, True), 2**40 + 3, True),
    ("sequential", "sequential", dict(layers=[
        dict(layer="conv2d", arguments=convolution(1, 4, 3, True)),
        dict(layer="linear", arguments=dict(in_features=9, out_features=4, bias=True))]), 0, True),
    ("small-cnn", "resnet", network("small-cnn", image_size=28), 0, False),
    ("cifar-resnet20", "resnet", network("cifar-resnet20", 3, **RESNET | dict(shortcut="A")), 0, True),
    ("cifar-resnet20-no-batch-norm", "resnet",
     network("cifar-resnet20", 3, **RESNET | dict(shortcut="A", batch_norm=False)), 0, True),
    ("cifar-resnet110", "resnet", network("cifar-resnet110", 3, **RESNET | dict(shortcut="A")), 1, False),
    ("resnet18", "resnet", network("resnet18", 3, 1000, **RESNET), 0, False),
    ("resnet50", "resnet", network("resnet50", **RESNET), 123, False),
    ("resnet101", "resnet", network("resnet101", **RESNET), 0, False),
]


def summary(state):
    content = {}
    for key, value in state.items():
        flat = value.flatten()
        content[f"first.{key}"] = flat[:8].float()
        content[f"last.{key}"] = flat[-8:].float()
        content[f"sum.{key}"] = flat.double().sum()
        content[f"absolute_sum.{key}"] = flat.double().abs().sum()
    return content


def write(folder):
    entries = []
    for name, layer, arguments, seed, whole in CASES:
        torch.manual_seed(seed)
        state = parity_cases.make_module(layer, arguments).state_dict()
        file = f"initialization-{name}.h5"
        state_file.write(folder / file, state if whole else summary(state))
        entries.append(dict(name=name, file=file, layer=layer, arguments=arguments, seed=seed, whole=whole))
    (folder / "initialization.json").write_text(json.dumps(entries, indent=1) + "\n")
