"""Coders on the command line: samples go through check, compile, simulate, verify and inspect as they are."""

from pathlib import Path

import numpy as np
import pytest

import ranvier
from ranvier import encode
from ranvier.cli.options import CoderName
from support.apps import CLASSES, INPUTS, write_nir
from support.commands import Run

READING = ("--dt", "1e-3", "--reset", "subtract")
RATE = ("--encode", "rate", "--steps", 24, "--seed", 5)


@pytest.fixture
def images(tmp_path: Path) -> np.ndarray:
    """A folder with net.nir, and raw.npz and calibration.npz of values from 0 to 1 without an axis of steps."""
    write_nir(tmp_path / "net.nir")
    labels = np.arange(30) % CLASSES
    values = np.where(np.arange(INPUTS) // 2 == labels[:, None], 0.8, 0.05)
    np.savez(tmp_path / "raw.npz", inputs=values, labels=labels)
    np.savez(tmp_path / "calibration.npz", inputs=values[:6])
    return values


def test_every_coder_can_be_asked_for() -> None:
    assert [name.value for name in CoderName] == list(encode.CODERS)


def test_samples_through_all_verbs(run: Run, images: np.ndarray) -> None:
    made = run("compile", "net.nir", *READING, *RATE, "--calibrate", "calibration.npz", "-o", "net.rnv", "--json")
    assert made.code == 0, made.out
    wanted = ranvier.open("net.rnv").run(encode.rate(images, 24, seed=5))
    ran = run("simulate", "net.rnv", "raw.npz", "-o", "out.npz", "--json").json
    assert ran["predictions"] == wanted.predictions.tolist()
    assert (ran["steps"], ran["samples"]) == (24, 30)
    assert ran["accuracy"] > 0.9
    with np.load("out.npz") as saved:
        assert np.array_equal(saved["outputs"], wanted.outputs)
    few = run("simulate", "net.rnv", "raw.npz", "--samples", 3, "--steps", 24, "--json").json
    assert few["predictions"] == wanted.predictions[:3].tolist()
    both = ("-r", "simulator", "-r", "oracle")
    found = run("verify", "net.rnv", "-d", "raw.npz", "--against", "net.nir", *READING, *both, "--json").json
    assert (found["agrees"], found["accuracy"]) == (True, ran["accuracy"])
    shown = run("inspect", "net.rnv", "--json").json["input"]["encoder"]
    assert shown == {"coder": "rate", "steps": 24, "seed": 5}
    assert "rate (steps 24, seed 5)" in " ".join(run("inspect", "net.rnv").out.split())
    assert "encoder=Rate(steps=24, seed=5)" in run("inspect", "net.rnv", "--text").out


def test_frames_are_taken_as_well(run: Run, images: np.ndarray) -> None:
    assert run("compile", "net.nir", *READING, *RATE, "-o", "net.rnv").code == 0
    np.savez("frames.npz", inputs=encode.rate(images, 24, seed=5))
    by_frames, by_samples = (run("simulate", "net.rnv", f"{n}.npz", "--json").json for n in ("frames", "raw"))
    assert by_frames["predictions"] == by_samples["predictions"]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("direct",), {}),
        (("latency",), {}),
        (("delta", "--delta-threshold", 0.25), {"threshold": 0.25}),
        (("phase", "--phase-bits", 4), {"bits": 4}),
        (("burst", "--burst-longest", 3, "--burst-gap", 1), {"longest": 3, "gap": 1}),
    ],
)
def test_every_coder_reaches_the_program(run: Run, words: tuple[object, ...], parameters: dict[str, object]) -> None:
    coder = ("--encode", *words, "--steps", 6)
    assert run("check", "net.nir", *READING, *coder).code == 0
    data = () if words[0] == "delta" else ("--calibrate", "calibration.npz")
    assert run("compile", "net.nir", *READING, *coder, *data, "-o", "net.rnv").code == 0
    shown = run("inspect", "net.rnv", "--json").json["input"]["encoder"]
    assert shown == {"coder": words[0], "steps": 6, **parameters} | ({"bits": 4} if words[0] == "phase" else {})


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("RV607", ("--seed", 3)),
        ("RV608", ("--encode", "rate")),
        ("RV351", ("--encode", "latency", "--steps", 4, "--seed", 3)),
        ("RV351", ("--encode", "delta", "--steps", 4)),
        ("RV351", ("--encode", "phase", "--steps", 4, "--phase-bits", 25)),
        ("RV351", ("--encode", "rate", "--steps", 4, "--seed", -1)),
        ("RV355", ("--encode", "direct", "--steps", 4, "--coding", "spikes")),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, code: str, words: tuple[object, ...]) -> None:
    for verb in ("check", "compile"):
        assert run(verb, "net.nir", *READING, *words, "--json").codes == [code]


def test_data_that_the_coder_cannot_take_are_refused(run: Run, images: np.ndarray) -> None:
    assert run("compile", "net.nir", *READING, *RATE, "-o", "net.rnv").code == 0
    np.savez("bright.npz", inputs=255 * images)
    np.savez("narrow.npz", inputs=images[:, 1:])
    assert run("simulate", "net.rnv", "bright.npz", "--json").codes == ["RV353"]
    assert run("simulate", "net.rnv", "narrow.npz", "--json").codes == ["RV352"]
    assert run("simulate", "net.rnv", "raw.npz", "--steps", 7, "--json").codes == ["RV609"]
    assert run("compile", "net.nir", *READING, "--encode", "ttfs", "--steps", 4).code == 2
