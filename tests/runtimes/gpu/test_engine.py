"""What the GPU executor does around its kernels: devices, pieces, measured choices, refusals."""

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes import gpu, oracle
from ranvier.runtimes.gpu import device, engine
from ranvier.runtimes.verify.executors import executor
from support.gpu_networks import dense, frames, single
from support.recordings import assert_equal

CHIP = single(dense(-128, 127, 20, 30, scale=2))


def test_without_cuda_the_cpu_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    inputs = frames(CHIP, 3, 4)
    with pytest.warns(RuntimeWarning, match=r"RV834 gpu: torch finds no CUDA device: .* CPU simulator"):
        found = executor("gpu")(CHIP, inputs, ("spikes",))
    assert_equal(found, oracle.run(CHIP, inputs, ("spikes",)))


@pytest.mark.parametrize("missing", ["torch", "triton"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(device, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(RanvierError, match=rf"(?s)RV833 gpu: GPU kernels need {missing}, which is.*ranvier\[gpu\]"):
        gpu.run(CHIP, frames(CHIP, 1, 1))


def test_a_cuda_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (1000, 4000))
    found = device.find()
    assert found == device.Device("cuda", interpreted=False)
    assert found.room == 500


def test_threads_of_the_user_take_turns() -> None:
    inputs, before = frames(CHIP, 4, 3), sys.getswitchinterval()
    expected = oracle.run(CHIP, inputs, ("states",))
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda batch: gpu.run(CHIP, inputs, ("states",), batch=batch), (1, 2, 4)))
    finally:
        sys.setswitchinterval(before)
    for one in found:
        assert_equal(one, expected)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_pieces_change_nothing(batch: int) -> None:
    inputs = frames(CHIP, 5, 3)
    seen: list[tuple[int, int]] = []
    found = gpu.run(CHIP, inputs, ("states",), batch=batch, progress=lambda done, total: seen.append((done, total)))
    assert_equal(found, oracle.run(CHIP, inputs, ("states",)))
    assert seen == [(min(start + batch, 5), 5) for start in range(0, 5, batch)]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BLOCK_BYTES", 2 * 4 * 20 * 3)  # two steps of three samples
    inputs = frames(CHIP, 3, 5)
    assert_equal(gpu.run(CHIP, inputs, ("states",)), oracle.run(CHIP, inputs, ("states",)))


def test_silent_sources_are_scattered(monkeypatch: pytest.MonkeyPatch) -> None:
    from ranvier.runtimes.gpu.piece import Piece  # noqa: PLC0415 - kernels are made for the interpreter that is set

    listed: list[frozenset[str]] = []
    initialise = Piece.__init__

    def noting(self: Any, network: Any, size: Any, record: Any, names: frozenset[str]) -> None:
        listed.append(names)
        initialise(self, network, size, record, names)

    monkeypatch.setattr(Piece, "__init__", noting)
    inputs = frames(CHIP, 4, 8, rate=0.3)
    inputs[2:] = 0
    inputs[3, 1, 4] = 1
    assert_equal(gpu.run(CHIP, inputs, batch=2), oracle.run(CHIP, inputs))
    assert listed == [frozenset(), frozenset({"in"})]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(device.Device, "room", 8 * (30 + 3 * 20) * 4 * 2)  # two samples of four steps
    inputs = frames(CHIP, 5, 4)
    found = gpu.run(CHIP, inputs, progress=lambda done, _: sizes.append(done))
    assert sizes == [2, 4, 5]
    assert_equal(found, oracle.run(CHIP, inputs))


def test_a_sample_beyond_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.Device, "room", 1000)
    with pytest.raises(RanvierError, match=r"RV835 gpu: a sample of 4 steps needs 2880 bytes .* 1000 may be filled"):
        gpu.run(CHIP, frames(CHIP, 2, 4))


def test_bad_arguments() -> None:
    with pytest.raises(RanvierError, match="RV831 batch: batch is 0"):
        gpu.run(CHIP, frames(CHIP, 1, 1), batch=0)
    with pytest.raises(RanvierError, match="RV825"):
        gpu.run(CHIP, 2 * np.ones((1, 1, 30), np.int32))


def test_an_unwritable_cache_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "file"))
    chip = single(dense(-128, 127, 21, 30, scale=2), du=1, dv=2, vth=3, bias=4)
    inputs = frames(chip, 1, 2)
    assert_equal(gpu.run(chip, inputs), oracle.run(chip, inputs))
