#!/usr/bin/env python3
"""Makes the HDF5 files in Tests/StateTests/Fixtures with h5py.

Every tensor holds 0, 1, 2, ... in row-major order (bool: False, True, False, ...), so the tests know what to expect.
Files named refused-* are attacks, or things a state dict never holds; each test names the words of the refusal.

    python3 tools/reference/make_state_fixtures.py
"""

import os
import struct
from pathlib import Path

import h5py
import numpy as np

FIXTURES = Path(__file__).resolve().parents[2] / "Tests" / "StateTests" / "Fixtures"


def counting(*shape, dtype="<f4"):
    return np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)


def accepted(name):
    return h5py.File(FIXTURES / f"{name}.h5", "w")


def refused(name):
    return accepted(f"refused-{name}")


def make_accepted():
    with accepted("types") as f:
        for dtype in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split():
            f.create_dataset(dtype, data=counting(2, 3, dtype=dtype))
        f.create_dataset("bool", data=np.array([False, True, False, True, False, True]).reshape(2, 3))
        f.create_dataset("bf16", data=np.array([0x0000, 0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0], "<u2")
                         .view("V2").reshape(2, 3))
    with accepted("shapes") as f:
        f.create_dataset("scalar", data=np.array(7, "<i8"))
        f.create_dataset("one", data=counting(1))
        f.create_dataset("empty", data=counting(0, 3))
        f.create_dataset("weight", data=counting(4, 3, 2, 2))
    with accepted("big-endian") as f:
        for dtype in "f2 f4 f8 i2 i4 i8 u2 u4 u8".split():
            f.create_dataset(dtype, data=counting(5, dtype=">" + dtype))
    with accepted("nested") as f:
        f.create_dataset("conv1/weight", data=counting(2, 1, 3, 3))
        f.create_dataset("layer1/0/bn1/running_mean", data=counting(4))
        f.create_dataset("layer1/0/bn1/num_batches_tracked", data=np.array(7, "<i8"))
        f.create_dataset("residual/weight", data=counting(3))
    with accepted("order") as f:
        for name in "conv1.weight bn1.weight bn1.bias fc.weight fc.bias a".split():
            f.create_dataset(name, data=counting(2))
    with h5py.File(FIXTURES / "tracked-order.h5", "w", track_order=True) as f:
        for index in reversed(range(12)):
            f.create_dataset(f"layer{index}.weight", data=counting(2))
    with h5py.File(FIXTURES / "latest.h5", "w", libver=("v110", "v110")) as f:
        for index in range(12):
            f.create_dataset(f"layer{index}.weight", data=counting(2))
    with h5py.File(FIXTURES / "user-block.h5", "w", userblock_size=512) as f:
        f.create_dataset("weight", data=counting(2, 2))
    with accepted("compact") as f:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        creation.set_obj_track_times(False)
        space = h5py.h5s.create_simple((5,))
        h5py.h5d.create(f.id, b"weight", h5py.h5t.IEEE_F32BE, space, creation).write(
            h5py.h5s.ALL, h5py.h5s.ALL, counting(5))
    with accepted("attributes") as f:
        f.attrs.create("note", np.bytes_("of a fixed length"))
        f.attrs["variable"] = "of a variable length"
        f.attrs["number"] = 3
        f.create_dataset("weight", data=counting(2)).attrs["other"] = "x"


def make_filtered():
    with refused("gzip") as f:
        f.create_dataset("weight", data=counting(40, 40), chunks=(10, 40), compression="gzip", shuffle=True,
                         fletcher32=True)
    with refused("chunked") as f:
        f.create_dataset("weight", data=counting(40), chunks=(10,))
    with refused("lzf") as f:
        f.create_dataset("weight", data=counting(400), chunks=(100,), compression="lzf")
    with refused("scale-offset") as f:
        f.create_dataset("weight", data=counting(400, dtype="<i4"), chunks=(100,), scaleoffset=0)
    with refused("bomb") as f:
        f.create_dataset("weight", shape=(1 << 40,), dtype="<f4", chunks=(1 << 20,), compression="gzip")


def make_attacks():
    with refused("soft-link") as f:
        f.create_dataset("weight", data=counting(2))
        f["bias"] = h5py.SoftLink("/weight")
    with refused("external-link") as f:
        f["weight"] = h5py.ExternalLink("order.h5", "/a")
    with refused("external-storage") as f:
        f.create_dataset("weight", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])
    with refused("virtual") as f:
        layout = h5py.VirtualLayout(shape=(2,), dtype="<f4")
        layout[:] = h5py.VirtualSource("order.h5", "a", shape=(2,))
        f.create_virtual_dataset("weight", layout)
    with refused("cycle") as f:
        group = f.create_group("a/b")
        group["again"] = f["a"]
    with refused("cycle-root") as f:
        f["again"] = f["/"]
    with refused("second-name") as f:
        f["weight"] = counting(2)
        f["tied"] = f["weight"]
    with refused("deep") as f:
        f.create_dataset("/".join("d" * 40) + "/weight", data=counting(2))
    with refused("twice") as f:
        f.create_dataset("a.b", data=counting(2))
        f.create_dataset("a/b", data=counting(2))
    with refused("null") as f:
        f["weight"] = h5py.Empty("f4")
    with refused("unwritten") as f:
        f.create_dataset("weight", shape=(1 << 40,), dtype="<f4")
    with refused("committed") as f:
        f["type"] = np.dtype("<f4")
        f.create_dataset("weight", data=counting(2), dtype=f["type"])
        del f["type"]
    with refused("committed-type-only") as f:
        f["weight"] = np.dtype("<f4")
    with refused("keras") as f:
        f.attrs["keras_version"] = "2.15.0"
        f.create_dataset("dense/kernel", data=counting(2))


def make_strange_types():
    types = {
        "string": np.array(b"weights"),
        "compound": np.array([(1.0, 2)], dtype=[("a", "<f4"), ("b", "<i4")]),
        "complex": np.array([1 + 2j], dtype="<c8"),
        "opaque": np.array([b"abc"], dtype="V3"),
    }
    for name, data in types.items():
        with refused(name) as f:
            f.create_dataset("weight", data=data)
    with refused("variable-length") as f:
        f.create_dataset("weight", data="weights")
    with refused("reference") as f:
        f.create_dataset("weight", data=f.ref, dtype=h5py.ref_dtype)
    with refused("enumeration") as f:
        f.create_dataset("weight", data=0, dtype=h5py.enum_dtype({"RED": 0, "BLUE": 1}, basetype="i1"))


def patched(name, content, old, new):
    """Writes `content` with one 64-bit number, which it must hold once, replaced."""
    old, new = struct.pack("<Q", old), struct.pack("<Q", new)
    assert content.count(old) == 1, (name, content.count(old))
    (FIXTURES / f"refused-{name}.h5").write_bytes(content.replace(old, new))


def make_lies():
    path = FIXTURES / "lie.h5"
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_obj_track_times(False)
    with h5py.File(path, "w") as f:
        # The sizes 1021 and 1031 are primes, to be found once each.
        for name, size in (("weight", 1021), ("bias", 1031)):
            space = h5py.h5s.create_simple((size,))
            h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F32LE, space, creation).write(
                h5py.h5s.ALL, h5py.h5s.ALL, counting(size))
        weight, bias = (f[name].id.get_offset() for name in ("weight", "bias"))
    content = path.read_bytes()
    path.unlink()
    size_field = struct.pack("<Q", 1021)
    (FIXTURES / "refused-shape-lie.h5").write_bytes(content.replace(size_field, struct.pack("<Q", 1 << 40)))
    (FIXTURES / "refused-shape-overflow.h5").write_bytes(content.replace(size_field, struct.pack("<Q", (1 << 62) + 1)))
    (FIXTURES / "refused-shape-smaller.h5").write_bytes(content.replace(size_field, struct.pack("<Q", 1000)))
    patched("overlap", content, bias, weight)
    patched("overlap-partly", content, bias, weight + 64)
    patched("beyond-end", content, bias, len(content) - 64)


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for old in FIXTURES.glob("*.h5"):
        old.unlink()
    os.chdir(FIXTURES)
    make_accepted()
    make_filtered()
    make_attacks()
    make_strange_types()
    make_lies()
    sizes = [path.stat().st_size for path in FIXTURES.glob("*.h5")]
    print(f"{len(sizes)} files, {sum(sizes)} bytes")


if __name__ == "__main__":
    main()
