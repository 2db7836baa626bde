"""Exported programs in SANA-FE itself: its spikes are ours, and its energy and time what we estimate."""

import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ranvier
from ranvier.app import App
from ranvier.compiler.analysis.energy import EnergyReport, energy
from ranvier.compiler.analysis.traced import traced
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.program import Program
from ranvier.data import load_data
from ranvier.encode import Rate
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.exports.sanafe import ARCHITECTURE
from ranvier.sanafe import export
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support import sanafe_files as sanafe
from support.data import test_data

STEPS = 64
PARTS = {"synapse": ("synapses",), "soma": ("neurons", "spikes"), "network": ("network",)}


def groups(program: Program) -> dict[str, str]:
    """The names that SANA-FE knows the populations of these tests by."""
    found: dict[str, str] = {}
    for p in program.chip.populations:
        plain = re.sub(r"\W", "_", p.name)
        found[p.name] = plain if plain not in found.values() else f"{plain}_2"
    return found


def judged(
    program: Program, target: Target, x: NDArray[Any], folder: Path
) -> tuple[EnergyReport, dict[str, sanafe.Answer]]:
    """Our report of the sample ``x`` and SANA-FE's answers, once every spike and every part of the energy is equal.

    The chip goes on after the last frame, and so does SANA-FE; a program is silent then. So the energy of the same
    steps is counted from the spikes of a run with empty frames behind.
    """
    chip, steps = program.chip, x.shape[1]
    export(program, target, folder, x)
    answers = sanafe.run(folder, steps + chip.latency)
    longer = np.concatenate([x, np.zeros_like(x[:, : chip.latency])], axis=1)
    spikes = oracle.run(chip, longer, ("spikes",)).spikes
    for answer in answers.values():
        for p in chip.populations:
            want = spikes[p.name][0].reshape(steps + chip.latency, -1)[:steps]
            np.testing.assert_array_equal(answer.spikes(p, groups(program)[p.name], steps), want, p.name)
    on_chip = {p.name: np.where(until(p.latency, spikes[p.name], steps), spikes[p.name], 0) for p in chip.populations}
    whole = energy(target, traced(chip, program.placement, {chip.ports[0].name: longer, **on_chip}))
    # That run counts the updates of as many more steps as it was longer.
    extra = (steps + chip.latency) / (steps + 2 * chip.latency)
    layers = [replace(layer, neurons=layer.neurons * extra) for layer in whole.layers.values()]
    for part, ours in PARTS.items():
        want = sum(getattr(layer, name) for layer in layers for name in ours)
        assert answers["detailed"].energy[part] == pytest.approx(want, rel=1e-9), part
    within = {p.name: spikes[p.name][:, :steps] for p in chip.populations}
    return energy(target, traced(chip, program.placement, {chip.ports[0].name: x, **within})), answers


def until(latency: int, spikes: NDArray[Any], steps: int) -> NDArray[np.bool_]:
    """The own steps of a population that end before SANA-FE does."""
    there = np.arange(spikes.shape[1]) < spikes.shape[1] - latency
    assert there.sum() >= steps
    return np.asarray(there.reshape(1, -1, *[1] * (spikes.ndim - 2)), np.bool_)


def agrees(report: EnergyReport, answers: dict[str, sanafe.Answer]) -> None:
    """Within 1 % in energy and 10 % in time, by both of SANA-FE's timing models."""
    assert report.dynamic_nj is not None
    assert report.inference_us is not None
    for answer in answers.values():
        assert report.dynamic_nj.value == pytest.approx(answer.energy["total"], rel=0.01)
        assert report.inference_us.value == pytest.approx(answer.time_us, rel=0.1)


@pytest.mark.parametrize(("seed", "per_core"), [(0, 50), (1, 12), (2, 3), (3, 20)])
def test_recurrent_networks_on_few_and_many_cores(seed: int, per_core: int, tmp_path: Path) -> None:
    program, target = sanafe.recurrent(seed, per_core)
    x = (np.random.default_rng(seed).random((1, STEPS, 30)) < 0.3).astype(np.int32)
    report, answers = judged(program, target, x, tmp_path)
    assert min(layer.spikes for layer in report.layers.values()) > 0
    agrees(report, answers)


def test_convolutions_with_biases_that_real_images_drive(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from ranvier.examples.digits.model import trained  # noqa: PLC0415 - needs torch

    folder = Path(ranvier.__file__).parent / "examples" / "digits"
    images = load_data(folder / "test.npz").inputs[3:4]
    net = ranvier.load(trained(), sample=images, encode=Rate(STEPS, seed=0))
    app = ranvier.compile(net, "loihi1", load_data(folder / "calibration.npz").inputs)
    x = np.asarray(frames_of(app.program.chip.ports[0], images))
    agrees(*judged(app.program, sure(app), x, tmp_path))


def test_the_mlp_of_lava_dl_on_mnist(tmp_path: Path) -> None:
    file, images = test_data("lava_dl", "mnist_784_128_64_10.net"), test_data("mnist", "t10k-images-idx3-ubyte.gz")
    app = ranvier.compile(ranvier.load(file), "loihi1")
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)[7 * 784 : 8 * 784]
    x = (np.random.default_rng(5).random((1, STEPS, 784)) * 255 < pixels / 2).astype(np.int32)
    agrees(*judged(app.program, sure(app), x, tmp_path))


def test_the_simple_model_of_time_is_ours_to_the_last_digit(tmp_path: Path) -> None:
    program, target = sanafe.recurrent(4, 12)
    x = (np.random.default_rng(4).random((1, STEPS, 30)) < 0.4).astype(np.int32)
    x[:, STEPS // 3 :] = 0
    export(program, target, tmp_path, x)
    answer = sanafe.run(tmp_path, STEPS + program.chip.latency)["simple"]
    sent = {name for step, name, _ in answer.trace if step > STEPS // 4}
    assert {"a", "b_1", "b_1_2"} <= sent
    assert max(step for step, _, _ in answer.trace) < STEPS
    spikes = simulator.run(program.chip, x, ("spikes",)).spikes
    report = energy(target, traced(program.chip, program.placement, {"in": x, **spikes}))
    assert report.dynamic_nj is not None
    assert report.inference_us is not None
    assert report.dynamic_nj.value == pytest.approx(answer.energy["total"], rel=1e-9)
    assert report.inference_us.value == pytest.approx(answer.time_us, rel=1e-9)


def test_the_constants_are_those_of_sanafes_own_loihi(tmp_path: Path) -> None:
    program, target = sanafe.recurrent(0, 50)
    export(program, target, tmp_path)
    ours, theirs = (_costs(path) for path in (tmp_path / ARCHITECTURE, sanafe.own_loihi()))
    assert ours == theirs
    assert len(ours) > 15


def _costs(path: Path) -> set[tuple[str, float]]:
    """Every energy and latency that is not 0, and the table of barriers."""
    text = path.read_text()
    found = re.findall(r"^\s*((?:energy|latency)_\w+): ([0-9.e+-]+)\s*$", text, re.MULTILINE)
    barrier = re.search(r"^\s*latency_sync: \{(.*)\}", text, re.MULTILINE)
    assert barrier is not None
    rows = [("barrier " + n, s) for n, s in re.findall(r"(\d+): ([0-9.e+-]+)", barrier[1])]
    return {(name, pytest.approx(float(value)).expected) for name, value in [*found, *rows] if float(value)}


def sure(app: App) -> Target:
    """The target that the program was compiled for."""
    assert app.target == load_target("loihi1")
    return app.target
