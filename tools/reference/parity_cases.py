"""The cases in which the Swift library is compared with PyTorch: which layer, which arguments, which numbers.

A case is small and explicit: every constructor argument is spelled out, pairs are [height, width], shapes [N, C, H, W].
"""

from dataclasses import dataclass

import torch
from torch import nn

import resnet


@dataclass
class Case:
    name: str
    layer: str
    arguments: dict
    shape: tuple
    mode: str = "train"
    values: str = "normal"  # how `make_input` fills the input
    target: str = ""  # for losses: "classes" or "probabilities"
    warm_up: int = 0  # training forwards before the case, so that running statistics mean something
    weights_of: str = ""  # the case in whose file the same initial weights are

    @property
    def mixed_precision(self):
        """Whether the case is also run in bfloat16: where a product of matrices takes part."""
        return self.layer in ("conv2d", "linear", "bottleneck", "basic_block", "resnet")

    def description(self):
        """The entry in cases.json."""
        entry = dict(name=self.name, file=f"{self.name}.h5", layer=self.layer, arguments=self.arguments,
                     mode=self.mode, input_shape=list(self.shape), mixed_precision=self.mixed_precision)
        return entry | {"weights_file": f"{self.weights_of or self.name}.h5"}


class CrossEntropy(nn.Module):
    """The loss as a layer, so that a case of it is made like any other; its target is set from outside."""

    def __init__(self):
        super().__init__()
        self.loss = nn.CrossEntropyLoss()
        self.target = None

    def forward(self, x):
        soft = self.target.is_floating_point()
        return self.loss(x, self.target.to(x.dtype) if soft else self.target)


def batch_norm(dimensions):
    def make(channels, eps, momentum, frozen):
        module = (nn.BatchNorm1d if dimensions == 1 else nn.BatchNorm2d)(channels, eps=eps, momentum=momentum)
        return module.requires_grad_(not frozen)
    return make


def block(kind):
    def make(in_channels, channels, stride, stride_in_1x1, shortcut, batch_norm):
        return kind(in_channels, channels, stride, stride_in_1x1=stride_in_1x1, shortcut=shortcut,
                    batch_norm=batch_norm)
    return make


def network(model, block=None, layers=None, **options):
    """A network by name; `resnet` is one of the ImageNet family with blocks and counts as given."""
    if model == "resnet":
        return resnet.ResNet({"basic_block": resnet.BasicBlock, "bottleneck": resnet.Bottleneck}[block], layers, **options)
    return resnet.build(model, **options)


MAKERS = {
    "conv2d": lambda in_channels, out_channels, kernel_size, stride, padding, bias:
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias),
    "linear": lambda in_features, out_features, bias: nn.Linear(in_features, out_features, bias),
    "max_pool2d": lambda kernel_size, stride, padding: nn.MaxPool2d(kernel_size, stride, padding),
    "global_average_pooling2d": lambda: nn.AdaptiveAvgPool2d(1),
    "flatten": nn.Flatten,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda dim: nn.Softmax(dim),
    "batch_norm1d": batch_norm(1),
    "batch_norm2d": batch_norm(2),
    "cross_entropy": CrossEntropy,
    "cross_entropy_soft": CrossEntropy,
    "bottleneck": block(resnet.Bottleneck),
    "basic_block": block(resnet.BasicBlock),
    "resnet": network,
    "sequential": lambda layers: nn.Sequential(*(make_module(entry["layer"], entry["arguments"]) for entry in layers)),
}
MAKERS["conv2d_loops"] = MAKERS["conv2d"]


def make_module(layer, arguments):
    return MAKERS[layer](**arguments)


def make_input(case):
    """The input, float32; the kinds are the ones that are hard somewhere."""
    x = torch.randn(case.shape)
    if case.values == "zeros":  # a third of them exactly 0, some of those negative zero
        x = torch.where(torch.rand(case.shape) < 1 / 3, torch.zeros_like(x) * x.sign(), x)
    elif case.values == "ties":  # few different values, so that windows hold their maximum more than once
        x = torch.round(x)
    elif case.values == "far":  # the mean a thousand standard deviations away
        x = 100 + 0.1 * x
    elif case.values == "large":
        x = 1e4 * x
    elif case.values == "offset":
        x = 1e4 + x
    elif case.values == "rectified":
        x = x.relu()
    elif case.values == "wide":
        x = 8 * x
    elif case.values == "images":  # soft blobs in 0..1: images that differ as wholes, as real ones do
        coarse = torch.rand(*case.shape[:2], 4, 4)
        x = nn.functional.interpolate(coarse, case.shape[2:], mode="bilinear", align_corners=True)
    return x


def pair(value):
    return list(value) if isinstance(value, tuple) else [value, value]


def convolutions():
    # name, input shape, output channels, kernel, stride, padding, bias
    table = [
        ("seed-example", (8, 4, 3, 5), 2, 3, 1, 3, True),
        ("1x1", (2, 8, 5, 7), 6, 1, 1, 0, True),
        ("1x1-stride-2", (2, 8, 7, 9), 6, 1, 2, 0, False),
        ("1x1-stride-3", (2, 5, 8, 7), 4, 1, 3, 0, True),
        ("1x1-padding-1", (2, 5, 4, 3), 4, 1, 1, 1, True),
        ("3x3", (2, 3, 8, 8), 5, 3, 1, 1, True),
        ("3x3-no-padding", (2, 3, 9, 7), 5, 3, 1, 0, False),
        ("3x3-padding-2", (2, 3, 6, 5), 4, 3, 1, 2, True),
        ("3x3-stride-2", (2, 6, 8, 8), 7, 3, 2, 1, False),
        ("3x3-stride-2-odd", (3, 6, 7, 9), 7, 3, 2, 1, True),
        ("3x3-stride-2-left-over", (2, 4, 8, 6), 3, 3, 2, 0, True),
        ("3x3-stride-3", (2, 4, 10, 11), 3, 3, 3, 1, True),
        ("3x3-stride-3-padding-3", (2, 4, 7, 8), 3, 3, 3, 3, False),
        ("5x5-padding-2", (2, 3, 9, 11), 4, 5, 1, 2, True),
        ("7x7-stride-2-padding-3", (2, 3, 17, 15), 8, 7, 2, 3, False),
        ("2x2-stride-2", (2, 3, 6, 8), 4, 2, 2, 0, True),
        ("4x4-padding-1", (2, 3, 7, 6), 4, 4, 1, 1, True),
        ("kernel-3x1", (2, 3, 7, 6), 4, (3, 1), (1, 1), (1, 0), True),
        ("kernel-1x5-stride-1x2", (2, 3, 4, 11), 4, (1, 5), (1, 2), (0, 2), False),
        ("kernel-2x3-stride-3x1-padding-1x2", (2, 3, 8, 5), 4, (2, 3), (3, 1), (1, 2), True),
        ("spatial-1x1", (4, 16, 1, 1), 24, 3, 1, 1, False),
        ("spatial-1x1-stride-2", (4, 16, 1, 1), 24, 3, 2, 1, True),
        ("spatial-2x2", (4, 16, 2, 2), 24, 3, 1, 1, False),
        ("spatial-2x2-stride-2", (4, 16, 2, 2), 24, 3, 2, 1, False),
        ("kernel-larger-than-image", (3, 4, 2, 3), 5, 5, 1, 2, True),
        ("kernel-much-larger-than-image", (3, 2, 1, 2), 4, 7, 2, 3, True),
        ("batch-1", (1, 3, 8, 8), 16, 3, 1, 1, True),
        ("batch-1-one-channel", (1, 1, 5, 5), 1, 3, 1, 1, True),
        ("one-position", (1, 3, 3, 3), 2, 3, 1, 0, True),
        ("unread-border", (2, 3, 10, 10), 4, 1, 4, 0, True),
        ("channels-17-to-33", (5, 17, 6, 6), 33, 3, 1, 1, True),
        ("channels-65-to-31", (3, 65, 4, 4), 31, 1, 1, 0, True),
    ]
    large = [  # of ResNet-101 at 32x32
        ("resnet-stem", (8, 1, 32, 32), 64, 7, 2, 3, False),
        ("resnet-stem-rgb-odd", (2, 3, 45, 39), 64, 7, 2, 3, False),
        ("resnet-64-to-256-1x1", (8, 64, 8, 8), 256, 1, 1, 0, False),
        ("resnet-128-3x3-stride-2", (8, 128, 8, 8), 128, 3, 2, 1, False),
        ("resnet-256-3x3", (16, 256, 2, 2), 256, 3, 1, 1, False),
        ("resnet-64-3x3-at-64x64", (4, 64, 16, 16), 64, 3, 1, 1, False),  # by Winograd's algorithm, as the next two
        ("resnet-128-3x3-at-112x112", (8, 128, 14, 14), 128, 3, 1, 1, False),
        ("resnet-256-3x3-at-224x224", (2, 256, 14, 14), 256, 3, 1, 1, False),
        ("resnet-128-3x3-at-2x2", (64, 128, 2, 2), 128, 3, 1, 1, False),  # the same for images of 2x2, as the next
        ("resnet-256-3x3-at-2x2-of-128-images", (128, 256, 2, 2), 256, 3, 1, 1, False),
        ("resnet-512-3x3", (16, 512, 1, 1), 512, 3, 1, 1, False),
        ("resnet-1024-to-2048-1x1-stride-2", (16, 1024, 2, 2), 2048, 1, 2, 0, False),
        ("resnet-2048-to-512-1x1", (64, 2048, 1, 1), 512, 1, 1, 0, False),
    ]
    for layer, rows in (("conv2d", table + large), ("conv2d_loops", table)):
        for name, shape, out_channels, kernel, stride, padding, bias in rows:
            arguments = dict(in_channels=shape[1], out_channels=out_channels, kernel_size=pair(kernel),
                             stride=pair(stride), padding=pair(padding), bias=bias)
            yield Case(f"{layer.replace('_', '-')}-{name}", layer, arguments, shape)
            if name.startswith("resnet") and kernel == 3 and stride == 1:
                yield Case(f"conv2d-{name}-rectified", layer, arguments, shape, values="rectified")


def linears():
    for name, batch, inputs, outputs, bias in [
            ("small", 3, 5, 4, True), ("no-bias", 7, 12, 9, False), ("batch-1", 1, 33, 17, True),
            ("one-to-one", 2, 1, 1, True), ("resnet-head", 64, 2048, 10, True), ("wide", 16, 784, 1000, True),
            ("odd", 13, 65, 31, True)]:
        arguments = dict(in_features=inputs, out_features=outputs, bias=bias)
        yield Case(f"linear-{name}", "linear", arguments, (batch, inputs))


def pools():
    for name, shape, kernel, stride, padding, values in [
            ("resnet", (4, 64, 16, 16), 3, 2, 1, "normal"), ("2x2", (2, 3, 8, 6), 2, 2, 0, "normal"),
            ("odd", (2, 5, 7, 9), 3, 2, 1, "normal"), ("stride-1", (2, 3, 6, 5), 3, 1, 1, "normal"),
            ("stride-3", (2, 3, 10, 11), 2, 3, 0, "normal"), ("ties", (3, 9, 8, 8), 3, 2, 1, "ties"),
            ("zeros", (3, 9, 8, 8), 3, 2, 1, "zeros"), ("2x3", (2, 3, 7, 8), (2, 3), (1, 2), (1, 0), "ties"),
            ("spatial-1x1", (2, 17, 1, 1), 3, 2, 1, "normal"), ("spatial-2x2", (2, 17, 2, 2), 3, 2, 1, "normal")]:
        arguments = dict(kernel_size=pair(kernel), stride=pair(stride), padding=pair(padding))
        yield Case(f"max-pool2d-{name}", "max_pool2d", arguments, shape, values=values)
    for name, shape in [("7x7", (2, 33, 7, 7)), ("1x1", (4, 2048, 1, 1)), ("odd", (3, 5, 3, 11)),
                        ("batch-1", (1, 1, 2, 2))]:
        yield Case(f"global-average-pooling2d-{name}", "global_average_pooling2d", {}, shape)


def elementwise():
    for name, shape in [("4d", (3, 5, 4, 7)), ("1x1", (4, 19, 1, 1)), ("2d", (3, 11))]:
        yield Case(f"flatten-{name}", "flatten", {}, shape)
    for name, shape, values in [("4d", (3, 5, 4, 7), "normal"), ("zeros", (2, 9, 5, 3), "zeros"),
                                ("2d", (7, 13), "normal"), ("one", (1, 1), "normal")]:
        yield Case(f"relu-{name}", "relu", {}, shape, values=values)
    for name, shape, values in [("4d", (3, 5, 4, 7), "normal"), ("saturated", (11, 13), "wide"),
                                ("zeros", (5, 9), "zeros")]:
        yield Case(f"sigmoid-{name}", "sigmoid", {}, shape, values=values)
    for name, shape, values in [("10", (64, 10), "normal"), ("1000", (8, 1000), "normal"), ("large", (16, 10), "offset"),
                                ("wide", (16, 33), "wide"), ("one-class", (4, 1), "normal")]:
        yield Case(f"softmax-{name}", "softmax", dict(dim=1), shape, values=values)


def losses():
    for target, layer in (("classes", "cross_entropy"), ("probabilities", "cross_entropy_soft")):
        for name, shape, values in [
                ("10", (64, 10), "normal"), ("1000", (8, 1000), "normal"), ("large", (16, 10), "large"),
                ("offset", (16, 10), "offset"), ("wide", (16, 33), "wide"), ("batch-1", (1, 10), "normal")]:
            yield Case(f"{layer.replace('_', '-')}-{name}", layer, {}, shape, values=values, target=target)


def batch_norms():
    for layer, name, shape, values, eps, momentum, mode, frozen in [
            ("batch_norm1d", "rank-2", (16, 11), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm1d", "rank-3", (4, 7, 9), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm1d", "rank-2-far", (32, 33), "far", 1e-5, 0.1, "train", False),
            ("batch_norm1d", "rank-2-eval", (16, 11), "normal", 1e-5, 0.1, "eval", False),
            ("batch_norm2d", "small", (4, 3, 5, 7), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "batch-1", (1, 6, 4, 4), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "1x1", (16, 37, 1, 1), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "2x2", (8, 64, 2, 2), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "far", (8, 16, 8, 8), "far", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "momentum-0.3-eps-0.001", (4, 5, 6, 6), "normal", 1e-3, 0.3, "train", False),
            ("batch_norm2d", "resnet-64", (64, 64, 16, 16), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "resnet-2048", (64, 2048, 1, 1), "normal", 1e-5, 0.1, "train", False),
            ("batch_norm2d", "eval", (4, 19, 5, 7), "normal", 1e-5, 0.1, "eval", False),
            ("batch_norm2d", "eval-far", (4, 19, 5, 7), "far", 1e-5, 0.1, "eval", False),
            ("batch_norm2d", "frozen", (4, 19, 5, 7), "normal", 1e-5, 0.1, "eval", True)]:
        arguments = dict(channels=shape[1], eps=eps, momentum=momentum, frozen=frozen)
        warm_up = 3 if mode == "eval" else 0
        yield Case(f"{layer.replace('_', '-')}-{name}", layer, arguments, shape, mode, values, warm_up=warm_up)


def blocks():
    for name, shape, channels, stride, in_1x1, shortcut, norm, mode in [
            ("identity", (4, 64, 8, 8), 16, 1, False, "B", True, "train"),
            ("identity-eval", (4, 64, 8, 8), 16, 1, False, "B", True, "eval"),
            ("downsample", (4, 64, 8, 8), 64, 1, False, "B", True, "train"),
            ("stride-2", (4, 48, 8, 8), 24, 2, False, "B", True, "train"),
            ("stride-2-eval", (4, 48, 8, 8), 24, 2, False, "B", True, "eval"),
            ("stride-2-in-1x1", (4, 48, 8, 8), 24, 2, True, "B", True, "train"),
            ("stride-2-in-1x1-odd", (4, 48, 7, 9), 24, 2, True, "B", True, "train"),
            ("stride-2-odd", (4, 48, 7, 9), 24, 2, False, "B", True, "train"),
            ("option-a", (4, 32, 6, 6), 16, 2, False, "A", True, "train"),
            ("no-batch-norm", (4, 32, 6, 6), 16, 2, False, "B", False, "train"),
            ("spatial-1x1", (16, 256, 1, 1), 64, 1, False, "B", True, "train"),
            ("resnet-layer3-0", (16, 512, 4, 4), 256, 2, False, "B", True, "train")]:
        arguments = dict(in_channels=shape[1], channels=channels, stride=stride, stride_in_1x1=in_1x1,
                         shortcut=shortcut, batch_norm=norm)
        yield Case(f"bottleneck-{name}", "bottleneck", arguments, shape, mode, warm_up=3 if norm else 0)
    for name, shape, channels, stride, shortcut, norm, mode in [
            ("identity", (4, 16, 8, 8), 16, 1, "B", True, "train"),
            ("identity-eval", (4, 16, 8, 8), 16, 1, "B", True, "eval"),
            ("option-a", (4, 16, 8, 8), 32, 2, "A", True, "train"),
            ("option-a-odd", (4, 16, 7, 9), 32, 2, "A", True, "train"),
            ("option-a-eval", (4, 16, 8, 8), 32, 2, "A", True, "eval"),
            ("option-b", (4, 16, 8, 8), 32, 2, "B", True, "train"),
            ("option-b-odd", (4, 16, 7, 9), 32, 2, "B", True, "train"),
            ("no-batch-norm", (4, 16, 7, 9), 32, 2, "B", False, "train"),
            ("option-a-no-batch-norm", (4, 16, 7, 9), 32, 2, "A", False, "train")]:
        arguments = dict(in_channels=shape[1], channels=channels, stride=stride, stride_in_1x1=False,
                         shortcut=shortcut, batch_norm=norm)
        yield Case(f"basic-block-{name}", "basic_block", arguments, shape, mode, warm_up=3 if norm else 0)


def networks():
    def entry(layer, **arguments):
        return dict(layer=layer, arguments=arguments)

    stack = [
        entry("conv2d", in_channels=3, out_channels=12, kernel_size=[3, 3], stride=[1, 1], padding=[1, 1], bias=False),
        entry("batch_norm2d", channels=12, eps=1e-5, momentum=0.1, frozen=False),
        entry("relu"),
        entry("max_pool2d", kernel_size=[2, 2], stride=[2, 2], padding=[0, 0]),
        entry("conv2d", in_channels=12, out_channels=8, kernel_size=[3, 3], stride=[2, 2], padding=[1, 1], bias=True),
        entry("sigmoid"),
        entry("global_average_pooling2d"),
        entry("flatten"),
        entry("linear", in_features=8, out_features=5, bias=True),
    ]
    for mode in ("train", "eval"):
        yield Case(f"sequential-{mode}", "sequential", dict(layers=stack), (4, 3, 12, 10), mode, warm_up=3)

    yield Case("small-cnn", "resnet", dict(model="small-cnn", in_channels=1, classes=10, image_size=28),
               (8, 1, 28, 28), values="images")
    tiny = dict(model="resnet", layers=[1, 1, 1, 1])  # of the ImageNet family, for options and sizes
    for name, model, shape, mode, values, in_1x1, shortcut, norm, weights_of in [
            ("cifar-resnet20-train", "cifar-resnet20", (8, 3, 32, 32), "train", "normal", False, "A", True, ""),
            ("cifar-resnet20-eval", "cifar-resnet20", (8, 3, 32, 32), "eval", "normal", False, "A", True, ""),
            ("cifar-resnet20-option-b", "cifar-resnet20", (8, 3, 32, 32), "train", "normal", False, "B", True, ""),
            ("cifar-resnet20-no-batch-norm", "cifar-resnet20", (8, 3, 32, 32), "train", "normal", False, "A", False,
             ""),
            ("resnet-basic-block-28x28-train", tiny | dict(block="basic_block"), (8, 1, 28, 28), "train", "images",
             False, "B", True, ""),
            ("resnet-bottleneck-stride-in-1x1-odd-eval", tiny | dict(block="bottleneck"), (2, 3, 45, 39), "eval",
             "normal", True, "B", True, ""),
            ("resnet101-train", "resnet101", (8, 1, 32, 32), "train", "images", False, "B", True, ""),
            ("resnet101-eval", "resnet101", (8, 1, 32, 32), "eval", "images", False, "B", True, "resnet101-train")]:
        arguments = (dict(model=model) if isinstance(model, str) else model) | dict(
            in_channels=shape[1], classes=10, stride_in_1x1=in_1x1, shortcut=shortcut, batch_norm=norm)
        yield Case(name, "resnet", arguments, shape, mode, values, warm_up=3 if norm else 0, weights_of=weights_of)


def all_cases():
    for group in (convolutions, linears, pools, elementwise, losses, batch_norms, blocks, networks):
        yield from group()
