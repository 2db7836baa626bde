"""The search for a mapping on the command line: Ctrl-C takes the best so far, elsewhere it ends the command."""

import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from ranvier import api
from ranvier.cli import searching as module
from ranvier.cli.output import Output
from ranvier.cli.searching import Searching, searching
from ranvier.compiler.passes.mapping.effort import CUTTING
from support.commands import Run

READING = ("--dt", "1e-3", "--reset", "value")
Told = list[tuple[str, int, int]]


def write_two_layers(folder: Path) -> None:
    """A NIR file of two layers of neurons, and a target whose cores hold one neuron each."""
    lif = nir.LIF(tau=2e-3 * np.ones(3), r=2 * np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3))
    fc = nir.Affine(np.ones((3, 6)), np.zeros(3)), nir.Affine(np.ones((3, 3)), np.zeros(3))
    nodes = {"input": nir.Input({"input": np.array([6])}), "fc1": fc[0], "l1": lif, "fc2": fc[1], "l2": lif,
             "output": nir.Output({"output": np.array([3])})}  # fmt: skip
    nir.write(folder / "two.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    (folder / "narrow.toml").write_text('extends = "loihi1"\ncore.resources.neurons.cap.v = 1\n')


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def tick(told: Told) -> Callable[[str, int, int], None]:
    return lambda what, done, total: told.append((what, done, total))


def test_stages_are_shown_once_the_search_takes_a_while(
    told: Told, tick: Callable[[str, int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Searching(tick)
    search.progress("refine the partition", 0.5)
    assert told == []
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    search.progress("refine the partition", 0.625)
    assert told == [("refine the partition", 62, 100)]


def test_the_first_ctrl_c_in_a_search_stops_it_and_the_second_ends_the_command(
    tick: Callable[[str, int, int], None],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with searching(Output(quiet=True), tick) as search:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        search.progress(CUTTING, 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        search.progress("refine the partition", 0.0)
        assert not search.stop()
        signal.raise_signal(signal.SIGINT)
        assert search.stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_compilation_writes_the_best_program_so_far(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_two_layers(files)
    rounds: list[tuple[str, float]] = []

    def interrupted(search: Searching, stage: str, share: float) -> None:
        progress(search, stage, share)
        rounds.append((stage, share))
        if search.running and not search.interrupted:
            signal.raise_signal(signal.SIGINT)

    progress = Searching.progress
    monkeypatch.setattr(Searching, "progress", interrupted)
    done = run("compile", files / "two.nir", *READING, "--target", files / "narrow.toml", "--effort", "3000",
               "--calibrate", files / "data.npz", "--output", files / "out.rnv")  # fmt: skip
    assert done.code == 0, done.err
    assert "interrupted; the best so far is taken" in done.err
    assert {stage for stage, share in rounds if share > 0} <= {"cut and pack", "fuse layers"}
    app = api.open(files / "out.rnv")
    assert app.program.placement.cores == 6
    x = np.load(files / "data.npz")["inputs"]
    assert app.run(x[:1]) is not None
