#!/usr/bin/env python3
"""Make the small files of PyTorch, safetensors and NumPy that the tests of the readers are about.

Usage: make_format_fixtures.py
Needs torch, safetensors, numpy and h5py. The files go to Tests/StateTests/Fixtures/formats, where expected.json says
what they hold, as Python sees it; the seeds of the fuzzers go to Tests/Fuzz/Seeds, a folder for each reader.
"""

import io
import json
import pathlib
import shutil
import zipfile
from collections import Counter, OrderedDict

import h5py
import numpy as np
import safetensors.torch
import torch

TESTS = pathlib.Path(__file__).resolve().parents[2] / "Tests"


def tensors():
    """Every element type, and every way a tensor can lie in its storage."""
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    weight = torch.randn(3, 2, 2, 2)
    tied = torch.randn(5)
    state = OrderedDict()
    state["zzz.first"] = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    state["aaa.second"] = torch.tensor(7)
    state["float64"] = torch.randn(3, dtype=torch.float64)
    state["float16"] = torch.randn(5).half()
    state["bfloat16"] = torch.randn(5).bfloat16()
    state["int32"] = torch.tensor([-2**31, 2**31 - 1], dtype=torch.int32)
    state["int16"] = torch.tensor([-32768, 32767], dtype=torch.int16)
    state["int8"] = torch.tensor([-128, 0, 127], dtype=torch.int8)
    state["uint8"] = torch.tensor([0, 255, 1], dtype=torch.uint8)
    state["uint16"] = torch.tensor([65535, 1], dtype=torch.uint16)
    state["uint32"] = torch.tensor([2**32 - 1, 1], dtype=torch.uint32)
    state["uint64"] = torch.tensor([2**63, 1], dtype=torch.uint64)
    state["bool"] = torch.tensor([[True, False, True]])
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 3)
    state["special"] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    state["view.rows"] = base[1:3]
    state["view.columns"] = base[:, 2:5]
    state["view.transposed"] = base.t()
    state["view.stepped"] = base[::2, ::3]
    state["view.expanded"] = torch.tensor([[1.5], [2.5]]).expand(2, 4)
    state["channels_last"] = weight.to(memory_format=torch.channels_last)
    state["permuted"] = weight.permute(3, 1, 0, 2)
    state["tied.a"] = tied
    state["tied.b"] = tied
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
    return state


def raw(tensor):
    """The bytes of a tensor, row-major, as hexadecimal digits."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes().hex() if flat.numel() else ""


def describe(state):
    """What a state dict holds: key, type, shape and bytes, in order."""
    return [
        {"key": key, "dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape), "bytes": raw(value)}
        for key, value in state.items()
    ]


def repack(source, target, compression, rename=lambda name: name):
    """Pack a zip file again with another compression, as zip programs do."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(rename(name)), old.read(name), compression)


def make_pytorch(folder, state):
    """Both formats of torch.save, nested checkpoints, optimizers, and what is not read."""
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, folder / "protocol4.pth", pickle_protocol=4)
    repack(folder / "zip.pth", folder / "deflated.pth", zipfile.ZIP_DEFLATED)

    small = OrderedDict((f"module.{key}", state[key]) for key in ("zzz.first", "aaa.second", "view.transposed"))
    checkpoint = {"epoch": 3, "best_prec1": np.float64(91.5), "arch": "resnet20", "state_dict": small}
    torch.save(checkpoint, folder / "nested.pth")
    torch.save(checkpoint, folder / "nested-legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": small, "model_ema": small, "epoch": 1}, folder / "with-average.pth")
    torch.save({"model": small, "state_dict": small}, folder / "ambiguous.pth")

    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler.step()
    checkpoint = {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save(checkpoint, folder / "training.pth")
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), folder / "whole-model.pth")
    torch.save([torch.ones(2)], folder / "list.pth")
    torch.save({"indices": torch.eye(2).to_sparse()}, folder / "sparse.pth")
    torch.save({"z": torch.ones(2, dtype=torch.complex64)}, folder / "complex.pth")
    assert isinstance(scheduler.state_dict()["milestones"], Counter)

    class Scripted(torch.nn.Module):
        def forward(self, x):
            return x

    torch.jit.save(torch.jit.script(Scripted()), folder / "script.pt")


def make_numpy(folder, state):
    """NumPy archives: every order of bytes and axes, compressed, and what is not read."""
    arrays = {key: value.detach().numpy() for key, value in state.items() if value.dtype != torch.bfloat16}
    np.savez(folder / "all.npz", **arrays)
    np.savez_compressed(folder / "compressed.npz", **arrays)
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    orders = {
        "big": plain.astype(">f4"), "fortran": np.asfortranarray(plain), "both": np.asfortranarray(plain.astype(">f8")),
        "big_int": np.array([1, -2], dtype=">i2"), "vector": np.asfortranarray(np.array([1, 2, 3], dtype="<i4")),
    }
    np.savez(folder / "orders.npz", **orders)
    for version in (2, 3):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, plain, version=(version, 0))
        with zipfile.ZipFile(folder / f"version{version}.npz", "w") as archive:
            archive.writestr(zipfile.ZipInfo("x.npy"), buffer.getvalue())
    np.savez(folder / "objects.npz", x=np.array([{}, None], dtype=object))
    np.savez(folder / "fields.npz", x=np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))


def make_seeds(folder, seeds):
    """Sort the files into a folder for each reader; pickles and arrays also by themselves, out of their zip files."""
    readers = {
        "safetensors": ["all.safetensors"], "pytorch": ["nested.pth", "deflated.pth"], "npz": ["orders.npz", "compressed.npz"],
        "pytorch-legacy": ["legacy.pth", "nested-legacy.pth"],
    }
    for reader, names in readers.items():
        (seeds / reader).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(folder / name, seeds / reader)
    members = [("pickle", name, "data.pkl") for name in ("zip", "protocol4", "nested", "training", "whole-model")]
    members = [(reader, f"{name}.pth", f"{name}/{member}") for reader, name, member in members]
    members += [("npy", "orders.npz", f"{name}.npy") for name in ("big", "fortran", "vector")]
    members += [("npy", "version3.npz", "x.npy"), ("npy", "fields.npz", "x.npy")]
    for reader, archive, member in members:
        (seeds / reader).mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / archive) as opened:
            target = f"{pathlib.Path(archive).stem}-{pathlib.Path(member).name}"
            (seeds / reader / target).write_bytes(opened.read(member))
    (seeds / "hdf5").mkdir(parents=True, exist_ok=True)
    with h5py.File(seeds / "hdf5/flat.h5", "w") as file:
        file["fc.weight"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        file["bn.num_batches_tracked"] = np.int64(7)
        file["big"] = np.array([1.0], dtype=">f8")
    with h5py.File(seeds / "hdf5/nested.h5", "w", libver="latest") as file:
        file["layer/weight"] = np.ones((2, 2), dtype=np.float16)
        file.create_dataset("packed", data=np.zeros(64, dtype=np.float32), compression="gzip", chunks=(16,))
        file.attrs["note"] = "words"


def main():
    folder = TESTS / "StateTests/Fixtures/formats"
    folder.mkdir(parents=True, exist_ok=True)
    state = tensors()
    make_pytorch(folder, state)
    safe = {key: value.detach().clone().contiguous() for key, value in state.items()}
    safetensors.torch.save_file(safe, folder / "all.safetensors", metadata={"format": "pt", "note": 'ä "quoted" \n'})
    make_numpy(folder, state)
    (folder / "expected.json").write_text(json.dumps(describe(state), indent=1) + "\n")
    make_seeds(folder, TESTS / "Fuzz/Seeds")


if __name__ == "__main__":
    main()
