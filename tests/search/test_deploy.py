"""From images to a program on loihi2, by the library and on the command line; files and refusals."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ranvier
from ranvier.cli import main
from ranvier.cli import search as verb
from ranvier.cli.search import NetworkOptions
from ranvier.cli.search import _skeleton as skeleton_of
from ranvier.compiler.diagnostics import RanvierError
from ranvier.data import Samples
from ranvier.runtimes import reference
from ranvier.search import SPACES, Architecture, Settings, Skeleton, load_architecture, save_architecture, search
from ranvier.search.deploy import deploy
from ranvier.search.memory import network
from ranvier.search.modules import CellNet
from ranvier.search.training import accuracy, trained
from ranvier.tuning.budget import Budget
from support.commands import Ran, Run

SKELETON = Skeleton((1, 4, 4), 2, (4, 6), 12, steps=3)
SPACE = SPACES["plain"]


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright and dark pictures with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) // 3 % 2
    images = np.where(labels == 0, 0.2, 0.8)[:, None, None] + rng.normal(0, 0.1, (count, 4, 4))
    return images.astype(np.float32)[:, None], labels


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    x, y = pictures(30)
    np.savez(tmp_path / "data.npz", inputs=x, labels=y)
    np.savez(tmp_path / "unlabelled.npz", inputs=x)
    np.savez(tmp_path / "flat.npz", inputs=x.reshape(30, 16), labels=y)
    ones = np.arange(30) % 6
    np.savez(
        tmp_path / "events.npz", x=ones, y=ones, p=ones % 2, t_us=500 * ones, offsets=6 * np.arange(6), labels=y[:5]
    )

    def ranvier_(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["ranvier", "search", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        assert isinstance(ending.value.code, int)
        return Ran(ending.value.code, *capfd.readouterr())

    return ranvier_


def test_the_best_of_a_budget_runs_on_loihi2() -> None:
    images, labels = pictures(90)
    budget = Budget(memory=25_000)
    found = search(images, SPACE, SKELETON, budget, "loihi2", Settings("random", 3))
    made = deploy(found.best.architecture, images, labels, budget, "loihi2", epochs=12)
    report = made.app.report()
    assert report.memory_bytes == made.used.memory
    assert made.used.memory is not None
    assert made.used.memory <= (found.best.used.memory or 0) <= budget.memory  # type: ignore[union-attr]
    assert (made.taught, made.judged) == (72, 18)
    assert made.accuracy >= 0.9
    assert made.verification.float_accuracy == made.accuracy
    assert (made.verification.accuracy or 0) >= made.accuracy - 2 / 18
    frames = images[:6, None].repeat(SKELETON.steps, axis=1)
    fast, exact = (made.app.run(frames, runtime=name) for name in ("simulator", "oracle"))
    assert np.array_equal(fast.outputs, exact.outputs)


def rising_or_falling(count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of events whose pixels flicker alike in all samples over all time: only their order tells the labels."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) // 3 % 2
    share = np.linspace(0.1, 0.9, steps)
    share = np.where(labels[:, None] == 0, share, share[::-1])
    return (rng.random((count, steps, 1, 4, 4)) < share[:, :, None, None, None]).astype(np.float32), labels


def test_frames_of_events_are_trained_on_and_deployed() -> None:
    skeleton = replace(SKELETON, steps=6)
    frames, labels = rising_or_falling(40, skeleton.steps)
    cell = SPACE.decode(SPACE.size - 1)
    made = deploy(Architecture(SPACE, skeleton, (cell, cell)), frames, labels, Budget(), "loihi2", epochs=4)
    assert (made.taught, made.judged) == (32, 8)
    assert made.verification.float_accuracy == made.accuracy
    with torch.no_grad():
        votes = made.module(torch.from_numpy(frames)).numpy()
        still = made.module(torch.from_numpy(frames[:, 0])).numpy()
    net = network(made.module, Architecture(SPACE, skeleton, (cell, cell)))
    shown = reference.run(net, frames).outputs.reshape(len(frames), skeleton.steps, 2)
    assert np.allclose(shown.mean(1), votes, atol=1e-5)
    assert not np.allclose(votes, still, atol=1e-3)
    fast, exact = (made.app.run(frames[:4], runtime=name) for name in ("simulator", "oracle"))
    assert np.array_equal(fast.outputs, exact.outputs)
    with pytest.raises(RanvierError, match="RV583"):
        deploy(Architecture(SPACE, SKELETON, (cell, cell)), frames, labels, Budget())


def test_the_command_takes_the_steps_of_frames() -> None:
    samples = Samples(np.zeros((5, 7, 2, 4, 6)), np.arange(5))
    assert skeleton_of(samples, NetworkOptions(), 5) == Skeleton((2, 4, 6), 5, (16, 32), steps=7)
    assert skeleton_of(samples, NetworkOptions(steps=7), 5).steps == 7
    still = Samples(np.zeros((5, 2, 4, 6)), np.arange(5))
    assert skeleton_of(still, NetworkOptions(), 5).steps == 5
    with pytest.raises(RanvierError, match="RV770"):
        skeleton_of(samples, NetworkOptions(steps=5), 5)


def test_training_learns_and_repeats_itself() -> None:
    images, labels = pictures(60)
    cell = SPACE.decode(4)
    made = Architecture(SPACE, SKELETON, (cell, cell))
    first, again, none = (trained(made, images, labels, epochs) for epochs in (30, 30, 0))
    assert accuracy(first, images, labels) > max(0.85, accuracy(none, images, labels) - 0.05)
    for own, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(own, other)


def test_a_program_over_the_budget_is_never_handed_out() -> None:
    images, labels = pictures(10)
    cell = SPACE.decode(4)
    with pytest.raises(RanvierError, match="RV590"):
        deploy(Architecture(SPACE, SKELETON, (cell, cell)), images, labels, Budget(memory=1000))


@pytest.mark.parametrize(
    "labels", [None, np.arange(9), np.full(10, -1), np.zeros(10), np.zeros((10, 1), int), np.full(10, 2)]
)
def test_labels_that_are_none_are_refused(labels: Any) -> None:
    cell = SPACE.decode(4)
    with pytest.raises(RanvierError, match="RV584"):
        deploy(Architecture(SPACE, SKELETON, (cell, cell)), pictures(10)[0], labels, Budget())


def test_architectures_come_back_from_their_files(tmp_path: Path) -> None:
    space = SPACES["spikenas"]
    made = Architecture(space, SKELETON, (space.decode(12_807), space.decode(3131)))
    save_architecture(made, tmp_path / "made.json")
    assert load_architecture(tmp_path / "made.json") == made
    with pytest.raises(RanvierError, match="RV587"):
        save_architecture(made, tmp_path / "absent" / "made.json")


@pytest.mark.parametrize(
    "changed",
    [{"format": "other"}, {"space": "absent"}, {"cells": [[0] * 6]}, {"cells": [[0] * 5] * 2}, {"cells": [[7] * 6] * 2},
     {"cells": [["1"] * 6] * 2}, {"skeleton": {}}, {"cells": None}],
)  # fmt: skip
def test_other_files_are_no_architectures(changed: dict[str, object], tmp_path: Path) -> None:
    path, cell = tmp_path / "made.json", SPACE.decode(4)
    save_architecture(Architecture(SPACE, SKELETON, (cell, cell)), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(RanvierError, match="RV586"):
        load_architecture(path)
    for text in ("", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(RanvierError, match="RV586"):
            load_architecture(path)


SMALL = ("--space", "plain", "--channels", "2,3", "--hidden", "4", "--steps", "3", "--trials", "2", "--samples", "30")


def test_the_command_searches_trains_compiles_and_goes_on(run: Run) -> None:
    arguments = ("--budget", "20KB", "-d", "data.npz", *SMALL, "--epochs", "1", "--module", "net.pt", "-o", "net.rnv")
    found = run(*arguments, "--json").json
    assert found["memory_bytes"] <= 20_000
    weighed = ranvier.open("net.rnv").report().memory_bytes
    assert weighed is not None
    assert found["deployed"]["memory_bytes"] == weighed <= 20_000
    made = load_architecture("net.json")
    assert list(made.ids) == found["architecture"]["ids"]
    CellNet(made).load_state_dict(torch.load("net.pt", weights_only=True))
    again = run(*arguments)
    assert again.code == 0
    for text in ("of 20,000", f"{found['looked_at']} architectures were known", "wrote net.rnv and net.json"):
        assert text in again.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--budget", "2kg"), "RV880"),
        (("--budget", "100"), "RV582"),
        (("--budget", "energy=1uJ"), "RV589"),
        (("--data", "unlabelled.npz"), "RV584"),
        (("--data", "flat.npz"), "RV583"),
        (("--bin-us", "1000"), "RV166"),
        (("--data", "events.npz"), "RV166"),
        (("--data", "events.npz", "--bin-us", "1000", "--budget", "100"), "RV582"),
        (("--space", "outer"), "RV588"),
        (("--strategy", "luck"), "RV588"),
        (("--channels", "3"), "RV588"),
        (("--steps", "0"), "RV581"),
    ],
)
def test_the_command_refuses(run: Run, arguments: tuple[str, ...], code: str) -> None:
    given = ("--budget", "20KB", "--data", "data.npz", *SMALL)
    assert run(*given, *arguments, "--json").codes == [code]


def test_an_interrupted_command_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_choices: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "search", interrupted)
    found = run("--budget", "20KB", "--data", "data.npz", *SMALL)
    assert found.code == 130
    assert "is in sqlite:///data.search.db; the same command" in found.err
