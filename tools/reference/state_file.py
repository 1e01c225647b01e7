"""State dicts in flat HDF5: one dataset for each full key at the root, contiguous, no filters, no timestamps.

Training checkpoints keep everything that is no weight in groups, so whoever reads the root's datasets has the weights.
"""

import os
from pathlib import Path

import h5py
import numpy as np
import torch


def write(path, tensors):
    """Writes a dictionary of tensors, arrays or numbers, beside its target first, so that no half file is left."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            for key, value in tensors.items():
                if isinstance(value, torch.Tensor):
                    value = value.detach().cpu().contiguous().numpy()
                file.create_dataset(key, data=np.asarray(value), track_times=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path):
    """The root's datasets as tensors, by key."""
    with h5py.File(path, "r") as file:
        return {key: torch.from_numpy(np.array(file[key])) for key in file if isinstance(file[key], h5py.Dataset)}
