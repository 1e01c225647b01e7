"""MNIST and data sets in its format, from a folder of IDX files, gzipped or not."""

import gzip
from pathlib import Path

import numpy as np
import torch


def read_idx(folder, name):
    """The bytes of an IDX file as an array; http://yann.lecun.com/exdb/mnist/ describes the format."""
    for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if path.exists():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            dimensions = data[3]
            shape = np.frombuffer(data, ">i4", dimensions, 4)
            return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")


def load(folder, split="train", limit=None):
    """Images [N, 28, 28], uint8, and labels [N], int64; split is "train" or "test"."""
    prefix = "train" if split == "train" else "t10k"
    images = torch.from_numpy(read_idx(folder, f"{prefix}-images-idx3-ubyte").copy())
    labels = torch.from_numpy(read_idx(folder, f"{prefix}-labels-idx1-ubyte").astype(np.int64))
    return images[:limit], labels[:limit]


def pixels(images, size=32):
    """Images as [N, 1, size, size] float32 in 0..1, with zeros around, as many on each side."""
    before = (size - images.shape[-1]) // 2
    after = size - images.shape[-1] - before
    return torch.nn.functional.pad(images[:, None].float() / 255, (before, after, before, after))
