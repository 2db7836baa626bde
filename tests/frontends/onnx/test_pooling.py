"""Maxima of spikes in ONNX files are relay neurons, spike for spike; other maxima are refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.onnx import load_onnx
from support.onnx_files import Writer, assert_same_spikes, run_whole

STEPS, IMAGE = 5, (1, 2, 6, 6)
WINDOWS: dict[str, dict[str, Any]] = {
    "side by side": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "overlapping": {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    "dilated": {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 1]},
}


def step(w: Writer, x: str, v: str) -> tuple[str, str]:
    h = w("Add", w("Mul", v, np.float32(0.5)), x)
    s = w("Cast", w("Greater", w("Sub", h, np.float32(1)), np.float32(0)))
    return s, w("Sub", h, s)


def pooled(folder: Path, op: str, height: float, *windows: dict[str, Any], of: str = "spikes") -> Path:
    """Spikes of ``height``, maxima one after the other, neurons; ``of`` what the first maximum is taken."""
    w, shown = Writer(), []
    v, outer = w.constant(np.zeros(IMAGE, np.float32)), w.constant(np.zeros(1, np.float32))
    for t in range(STEPS):
        s, after = step(w, w("Gather", "x", np.array(t)), v)
        taken = {
            "spikes": s,
            "sums": w("Add", s, w("Gather", s, np.arange(6)[::-1].copy(), axis=3)),
            "membranes": after,
        }[of]
        v = after
        scaled = w("Mul", taken, np.float32(height))
        for options in windows:
            scaled = w(op, scaled, **options)
        s, outer = step(w, w("Mul", scaled, np.float32(0.75)), outer)
        shown.append(w("Unsqueeze", s, np.array([0])))
    return w.save(folder / "net.onnx", {"x": (STEPS, *IMAGE)}, [w("Concat", *shown, axis=0)])


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("height", [1.0, 2.5])
def test_a_maximum_is_a_relay(windows: str, height: float, tmp_path: Path) -> None:
    path = pooled(tmp_path, "MaxPool", height, WINDOWS[windows])
    check(path, populations=3)


def test_a_maximum_of_maxima_and_of_everything(tmp_path: Path) -> None:
    check(pooled(tmp_path, "MaxPool", 1.5, WINDOWS["overlapping"], WINDOWS["side by side"]), populations=4)
    check(pooled(tmp_path, "GlobalMaxPool", 1.5, {}), populations=3, high=1.02)


def check(path: Path, populations: int, high: float = 1.6) -> None:
    network = load_onnx(path)
    assert len(network.populations) == populations
    frames = np.random.default_rng(0).uniform(-1, high, (STEPS, *IMAGE)).astype(np.float32)
    wanted = run_whole(path, frames)
    assert 0 < wanted.mean() < 1
    assert_same_spikes(network, frames, wanted)


@pytest.mark.parametrize("of", ["sums", "membranes"])
def test_other_maxima_are_refused_by_name(of: str, tmp_path: Path) -> None:
    with pytest.raises(
        RanvierError, match=r"\(MaxPool\).*it takes a maximum, which can be had of single spikes"
    ) as found:
        load_onnx(pooled(tmp_path, "MaxPool", 1.0, WINDOWS["side by side"], of=of))
    assert [d.code for d in found.value.diagnostics] == ["RV286"]
