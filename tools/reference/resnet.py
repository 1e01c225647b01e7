"""The reference: residual networks in PyTorch, with torchvision's names, written from the paper.

Deep Residual Learning for Image Recognition, He, Zhang, Ren, Sun, 2015 (https://arxiv.org/abs/1512.03385).

Random draws. `torch.manual_seed(0)` followed by `build(...)` gives the weights that torchvision gives, because the
generator is used in the same order; whoever replays it elsewhere draws

1. at construction, each layer's default initialisation, in the order in which the layers are made: `conv1`, then for
   each block its `downsample.0` first (torchvision makes it before the block), then the block's `conv1`, `conv2`,
   `conv3`; at the end the head. A convolution or linear layer draws uniform(-b, b) for the weight, b = 1/sqrt(fan_in) =
   sqrt(3) * (sqrt(1/3) / sqrt(fan_in)), in OIHW order, and, if it has a bias, the same for that. Batch norm draws
   nothing;
2. then, over `self.modules()`, that is in the order of the state dict (`downsample` after the block's own layers),
   each convolution's weight once more: normal with standard deviation sqrt(2 / fan_out), fan_out = O * kH * kW.
   Biases and the head keep what step 1 gave them.

Small networks (`SmallCNN`) do step 1 only.
"""

import torch
from torch import nn
from torch.nn import functional as F


def convolution(in_channels, out_channels, kernel_size, stride=1, batch_norm=True):
    """A convolution that keeps the size at stride 1; it has a bias where no batch norm follows."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=not batch_norm)


def normalization(channels, batch_norm=True):
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()


class PaddedShortcut(nn.Module):
    """Option A of the paper: every `stride`-th pixel, and zero channels in equal numbers before and after."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x):
        return F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.before, self.after))


def make_shortcut(in_channels, out_channels, stride, option, batch_norm):
    """What stands in for the identity where a block changes the shape: None, option A, or option B, a projection."""
    if option not in ("A", "B"):
        raise ValueError(f"shortcut is {option!r}; the options are 'A' (zero padding) and 'B' (projection)")
    if stride == 1 and in_channels == out_channels:
        return None
    if option == "A":
        return PaddedShortcut(in_channels, out_channels, stride)
    return nn.Sequential(
        convolution(in_channels, out_channels, 1, stride, batch_norm), normalization(out_channels, batch_norm))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, in_channels, channels, stride=1, *, stride_in_1x1=False, shortcut="B", batch_norm=True):
        super().__init__()
        downsample = make_shortcut(in_channels, channels, stride, shortcut, batch_norm)  # drawn first, named last
        self.conv1 = convolution(in_channels, channels, 3, stride, batch_norm)
        self.bn1 = normalization(channels, batch_norm)
        self.relu = nn.ReLU()
        self.conv2 = convolution(channels, channels, 3, 1, batch_norm)
        self.bn2 = normalization(channels, batch_norm)
        self.downsample = downsample

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1. The stride is in the 3x3 (torchvision), or in the first 1x1 (the paper)."""

    expansion = 4

    def __init__(self, in_channels, channels, stride=1, *, stride_in_1x1=False, shortcut="B", batch_norm=True):
        super().__init__()
        out_channels = channels * self.expansion
        downsample = make_shortcut(in_channels, out_channels, stride, shortcut, batch_norm)  # drawn first, named last
        stride1, stride2 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = convolution(in_channels, channels, 1, stride1, batch_norm)
        self.bn1 = normalization(channels, batch_norm)
        self.conv2 = convolution(channels, channels, 3, stride2, batch_norm)
        self.bn2 = normalization(channels, batch_norm)
        self.conv3 = convolution(channels, out_channels, 1, 1, batch_norm)
        self.bn3 = normalization(out_channels, batch_norm)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + identity)


class ResidualNetwork(nn.Module):
    """What both families share: making a stage of blocks, and the initialisation."""

    def make_stage(self, block, in_channels, channels, count, stride, options):
        first = block(in_channels, channels, stride, **options)
        rest = [block(channels * block.expansion, channels, 1, **options) for _ in range(count - 1)]
        return nn.Sequential(first, *rest)

    def initialize(self):
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(ResidualNetwork):
    """The ImageNet family (section 3.3): 7x7 stem, max pool, four stages of 64 to 512 channels, head `fc`."""

    def __init__(self, block, layers, in_channels=3, classes=1000, *, stride_in_1x1=False, shortcut="B",
                 batch_norm=True):
        super().__init__()
        options = dict(stride_in_1x1=stride_in_1x1, shortcut=shortcut, batch_norm=batch_norm)
        width = block.expansion
        self.conv1 = convolution(in_channels, 64, 7, 2, batch_norm)
        self.bn1 = normalization(64, batch_norm)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self.make_stage(block, 64, 64, layers[0], 1, options)
        self.layer2 = self.make_stage(block, 64 * width, 128, layers[1], 2, options)
        self.layer3 = self.make_stage(block, 128 * width, 256, layers[2], 2, options)
        self.layer4 = self.make_stage(block, 256 * width, 512, layers[3], 2, options)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * width, classes)
        self.initialize()

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class CifarResNet(ResidualNetwork):
    """The CIFAR family (section 4.2): 3x3 stem, three stages of 16, 32, 64 channels, head `linear`."""

    def __init__(self, depth, in_channels=3, classes=10, *, stride_in_1x1=False, shortcut="A", batch_norm=True):
        super().__init__()
        if depth % 6 != 2:
            raise ValueError(f"depth is {depth}; it must be 6n + 2: 20, 32, 44, 56, 110")
        options = dict(stride_in_1x1=stride_in_1x1, shortcut=shortcut, batch_norm=batch_norm)
        count = (depth - 2) // 6
        self.conv1 = convolution(in_channels, 16, 3, 1, batch_norm)
        self.bn1 = normalization(16, batch_norm)
        self.relu = nn.ReLU()
        self.layer1 = self.make_stage(BasicBlock, 16, 16, count, 1, options)
        self.layer2 = self.make_stage(BasicBlock, 16, 32, count, 2, options)
        self.layer3 = self.make_stage(BasicBlock, 32, 64, count, 2, options)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)
        self.initialize()

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.linear(torch.flatten(self.avgpool(x), 1))


class SmallCNN(nn.Module):
    """Convolution, ReLU, flatten, linear: the library's ten-line example."""

    def __init__(self, in_channels=1, classes=10, image_size=28):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 32, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(32 * image_size * image_size, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.relu(self.conv(x)), 1))


def soften_residual_branches(model, scale=0.2):
    """Sets the last batch norm's weight in each block to `scale`, nearer to a trained network's than the initial 1.

    With 1, a hundred layers of batch norm over a small batch turn a rounding error of 1e-7 into one of 1e-3, in any
    implementation, so that comparing two of them says little; with 0.2 it stays near 1e-5.
    """
    for block in model.modules():
        if isinstance(block, (BasicBlock, Bottleneck)):
            last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
            if isinstance(last, nn.BatchNorm2d):
                nn.init.constant_(last.weight, scale)


RESNETS = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}
CIFAR_RESNETS = {f"cifar-resnet{depth}": depth for depth in (20, 32, 44, 56, 110)}
NAMES = [*RESNETS, *CIFAR_RESNETS, "small-cnn"]


def build(name, in_channels=3, classes=1000, **options):
    """The network of that name. Options: stride_in_1x1, shortcut and batch_norm; only image_size for small-cnn."""
    if name in RESNETS:
        return ResNet(*RESNETS[name], in_channels, classes, **options)
    if name in CIFAR_RESNETS:
        return CifarResNet(CIFAR_RESNETS[name], in_channels, classes, **options)
    if name == "small-cnn":
        return SmallCNN(in_channels, classes, **options)
    raise ValueError(f"no model is called {name!r}; there are {', '.join(NAMES)}")
