"""Hostile files: every one is read or refused with a diagnostic, quickly and in little memory."""

import json
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends import hdf5
from ranvier.frontends.netx import load_netx
from ranvier.frontends.nir import load_nir
from support.netx_files import conv, dense, write_netx
from support.nir_files import cuba, integrate_and_fire, lif, write_chain

MEMORY = 200 * 2**20
SECONDS = 1.0
EDITS = 25
BATCH = """
import json, resource, sys, time
from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.{module} import {function} as load
for path in sys.argv[1:]:
    wall, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time()
    try:
        load(path{options})
        codes = ["read"]
    except RanvierError as refused:
        codes = [d.code for d in refused.diagnostics]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() - own + after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    own_peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
    peak = max(after.ru_maxrss, int(own_peak)) * 1024
    print(json.dumps([path, codes, seconds, peak]), flush=True)
"""


def outcomes(paths: list[Path], module: str, function: str, options: str) -> list[tuple[str, list[str], float, int]]:
    """What became of each file, read in a process of its own: codes, processor seconds, peak memory."""
    script = BATCH.format(module=module, function=function, options=options)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def damaged(original: bytes, folder: Path, suffix: str) -> list[Path]:
    """Cut, flipped, overwritten and extended copies of a file, the same ones every time."""
    paths = []
    for seed in range(EDITS):
        dice = random.Random(seed)
        data = bytearray(original)
        kind = seed % 4
        if kind == 0:
            data = data[: dice.randrange(len(data))]
        elif kind in (1, 2):
            reach = len(data) if kind == 1 else min(len(data), 4096)
            for _ in range(dice.choice([1, 3, 20])):
                data[dice.randrange(reach)] ^= 1 << dice.randrange(8)
        else:
            start = dice.randrange(len(data) - 16)
            data[start : start + 8] = dice.choice([b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80\x00\x00\x00\x00"])
        paths.append(folder / f"{seed}{suffix}")
        paths[-1].write_bytes(bytes(data))
    return paths


def check(found: list[tuple[str, list[str], float, int]], count: int) -> None:
    assert len(found) == count
    for path, codes, seconds, peak in found:
        assert seconds < SECONDS, (path, codes, seconds)
        assert peak < MEMORY, (path, codes, peak)
    refused = [codes for _, codes, _, _ in found if codes != ["read"]]
    assert len(refused) > count / 4
    assert all(code.startswith("RV1") for codes in refused for code in codes)


def test_damaged_nir_files(tmp_path: Path) -> None:
    layers = nir.Affine(np.eye(6), np.ones(6)), lif(6), nir.Linear(np.ones((3, 6))), cuba(3)
    original = write_chain(tmp_path / "whole.nir", (6,), *layers).read_bytes()
    paths = damaged(original, tmp_path, ".nir")
    check(outcomes(paths, "nir", "load_nir", ", dt=1e-3, reset='value'"), len(paths))


def test_damaged_netx_files(tmp_path: Path) -> None:
    original = write_netx(
        tmp_path / "whole.net", conv(2 * np.ones((2, 1, 3, 3))), {"type": "flatten"}, dense(np.eye(8))
    )
    paths = damaged(original.read_bytes(), tmp_path, ".net")
    check(outcomes(paths, "netx", "load_netx", ", input_shape=(1, 4, 4)"), len(paths))


def bomb(file: h5py.File) -> None:
    group = file["node/nodes/l0"]
    del group["weight"]
    group.create_dataset(
        "weight", shape=(20_000, 20_000), dtype="f4", chunks=(1000, 1000), compression="gzip", fillvalue=1.0
    )


def packed_bomb(file: h5py.File) -> None:
    group = file["node/nodes/l0"]
    del group["weight"]
    data = group.create_dataset("weight", shape=(1000, 100_000), dtype="f4", chunks=(1000, 1000), compression="gzip")
    chunk = zlib.compress(bytes(4 * 1000 * 1000), 9)
    for column in range(0, 100_000, 1000):
        data.id.write_direct_chunk((0, column), chunk)


def huge_chunk(file: h5py.File) -> None:
    group = file["node/nodes/l0"]
    del group["weight"]
    group.create_dataset("weight", shape=(2, 2), maxshape=(None, None), dtype="f8", chunks=(20_000, 20_000))


def no_storage(file: h5py.File) -> None:
    del file["node/nodes/l0/weight"]
    file["node/nodes/l0"].create_dataset("weight", shape=(2**28,), dtype="f8")


def external_link(file: h5py.File) -> None:
    del file["node/nodes/l0/weight"]
    file["node/nodes/l0/weight"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft_cycle(file: h5py.File) -> None:
    file["node/nodes/l9"] = h5py.SoftLink("/node")


def hard_cycle(file: h5py.File) -> None:
    file["node/nodes/l9"] = file["node"]


def elsewhere(file: h5py.File) -> None:
    del file["node/nodes/l0/weight"]
    file["node/nodes/l0"].create_dataset("weight", shape=(4,), dtype="f8", external=[("secret.bin", 0, 32)])


def virtual(file: h5py.File) -> None:
    del file["node/nodes/l0/weight"]
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file["node/nodes/l0"].create_virtual_dataset("weight", layout)


def references(file: h5py.File) -> None:
    del file["node/nodes/l0/weight"]
    file["node/nodes/l0/weight"] = np.array([file.ref], dtype=h5py.ref_dtype)


def deep(file: h5py.File) -> None:
    file.create_group("node/" + "/".join(["g"] * 200))


def many(file: h5py.File) -> None:
    data = file["node/nodes/l0/weight"]
    group = file.create_group("many")
    for number in range(20_000):
        group[str(number)] = data


def long_text(file: h5py.File) -> None:
    file["node/nodes/l0/comment"] = "x" * 5000


def bad_name(file: h5py.File) -> None:
    file["node/nodes/l0/\x1b[31m"] = 1.0


HOSTILE: tuple[tuple[Callable[[Any], None], str], ...] = (
    (bomb, "would take 3200000000 bytes"),
    (packed_bomb, "would take 800000000 bytes"),
    (huge_chunk, "chunks of 3200000000 bytes"),
    (no_storage, "would take 2147483648 bytes"),
    (external_link, "ExternalLink"),
    (soft_cycle, "SoftLink"),
    (hard_cycle, "contains itself"),
    (elsewhere, "in another file"),
    (virtual, "in another file"),
    (references, "neither a number nor text"),
    (deep, "nested deeper"),
    (many, "more than 4000 objects"),
    (long_text, "longer than 1024"),
    (bad_name, "printable"),
)


def test_hostile_files_are_refused_for_what_they_are(tmp_path: Path) -> None:
    paths = []
    for spoil, _ in HOSTILE:
        layers = nir.Affine(np.eye(2), np.ones(2)), integrate_and_fire(2)
        paths.append(write_chain(tmp_path / f"{spoil.__name__}.nir", (2,), *layers))
        with h5py.File(paths[-1], "r+") as file:
            spoil(file)
    found = outcomes(paths, "nir", "load_nir", ", dt=1.0, reset='value'")
    check(found, len(HOSTILE))
    assert [codes for _, codes, _, _ in found] == [["RV100"]] * len(HOSTILE)
    for path, (_, reason) in zip(paths, HOSTILE, strict=True):
        with pytest.raises(RanvierError, match=reason):
            load_nir(path, dt=1.0, reset="value")


@pytest.mark.parametrize("content", [b"", b"no hdf5 at all", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_what_is_no_hdf5_file_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nir"
    path.write_bytes(content)
    for load, code in ((load_nir, "RV100"), (load_netx, "RV140")):
        with pytest.raises(RanvierError) as found:
            load(path)
        assert found.value.diagnostics[0].code == code


def test_missing_files_folders_and_other_hdf5_files(tmp_path: Path) -> None:
    for path in (tmp_path / "none.nir", tmp_path):
        with pytest.raises(RanvierError, match="RV100"):
            load_nir(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1.0
    for load, code in ((load_nir, "RV101"), (load_netx, "RV141")):
        with pytest.raises(RanvierError, match=code):
            load(tmp_path / "other.h5")


SPIN = """
import sys
sys.path.insert(0, sys.argv[1])
import hdf5_child
def spin(*arguments):
    while True: pass
hdf5_child.Reader.group = spin
hdf5_child.main(sys.argv[2], 10**6, 0.2)
"""


def test_a_reader_that_hangs_is_ended_by_the_kernel(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "whole.nir", (6,), nir.Affine(np.eye(6), np.ones(6)), lif(6))
    folder = str(Path(hdf5.__file__).parent)
    done = subprocess.run([sys.executable, "-c", SPIN, folder, str(path)], capture_output=True, timeout=60, check=False)
    assert done.returncode < 0


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 11)", "time.sleep(60)", "print(end='{', flush=True)", ""])
def test_a_reader_that_dies_or_sleeps_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    path = write_chain(tmp_path / "whole.nir", (6,), nir.Affine(np.eye(6), np.ones(6)), lif(6))
    (tmp_path / "child.py").write_text(f"import os, time\n{end}\n")
    monkeypatch.setattr(hdf5, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(hdf5, "WALL_SECONDS", 1.0)
    with pytest.raises(RanvierError, match="crash or took too long"):
        load_nir(path, dt=1e-3, reset="value")
