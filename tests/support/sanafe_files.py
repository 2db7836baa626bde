"""Exported files as SANA-FE runs them, in its own environment; and networks to export."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import Piece, Program
from ranvier.compiler.passes.place import Place
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.mapping import lif_population

CHILD = Path(__file__).with_name("sanafe_child.py")
ROOT = str(Path(__file__).parents[2])
SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """What SANA-FE says by one timing model: nJ by part, microseconds, and (step, group, neuron) of every spike."""

    energy: dict[str, float]
    time_us: float
    trace: Sequence[tuple[int, str, int]]

    def spikes(self, population: Population, group: str, steps: int) -> NDArray[np.int64]:
        """(steps, neurons) in the population's own steps, which start with its latency."""
        found = np.zeros((steps, population.size), np.int64)
        for step, name, neuron in self.trace:
            if name == group and 0 <= step - population.latency < steps:
                found[step - population.latency, neuron] += 1
        return found


def run(folder: Path, steps: int) -> dict[str, Answer]:
    """Both timing models' answers about the files in ``folder`` after ``steps`` of SANA-FE's steps."""
    done = subprocess.run(
        [str(environment()), str(CHILD), str(folder), str(steps)],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.fail(f"SANA-FE refused the files ({done.returncode}): {(done.stdout + done.stderr)[-2000:]}")
    said: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    return {
        model: Answer({k: 1e9 * v for k, v in a["energy"].items()}, 1e6 * a["sim_time"], a["trace"])
        for model, a in said.items()
    }


def environment() -> Path:
    """The Python that has SANA-FE; skips where it cannot be installed."""
    python = _made()
    if isinstance(python, str):
        pytest.skip(python)
    return python


def own_loihi() -> Path:
    """SANA-FE's own description of Loihi."""
    return next(environment().parents[1].glob("lib/python*/site-packages/sanafe/examples/loihi.yaml"))


def dense(rng: np.random.Generator, targets: int, sources: int, share: float = 1.0) -> DenseSynapse:
    """Even weights, a few more positive ones, of which a ``share`` is there."""
    weight = 2 * rng.integers(-20, 26, (targets, sources))
    return DenseSynapse((weight * (rng.random((targets, sources)) < share)).astype(np.int32))


def recurrent(seed: int, per_core: int) -> tuple[Program, Target]:
    """A chain of three layers with loops at and between them, biases, and at most ``per_core`` neurons on a core."""
    rng, target, sizes = np.random.default_rng(seed), load_target("loihi1"), {"in": 30, "a": 40, "b.1": 50, "b_1": 20}
    registers = {"du": 4095, "dv": int(rng.integers(0, 900)), "vth": 120}
    biases = {"a": 0, "b.1": rng.integers(-80, 60, 50), "b_1": 0}
    populations = tuple(
        lif_population(name, (sizes[name],), latency, **registers | {"bias": biases[name]})
        for latency, name in enumerate(biases, 1)
    )
    ends = (
        ("in", "a", 1.0, 0),
        ("a", "b.1", 0.5, 0),
        ("b.1", "b_1", 1.0, 0),
        ("b.1", "b.1", 0.2, 1),
        ("b_1", "b.1", 0.3, -1),
    )
    links = tuple(
        Connection(f"{s}-{t}", s, t, dense(rng, sizes[t], sizes[s], share), exponent, "mixed", 0)
        for s, t, share, exponent in ends
    )
    chip = ChipNetwork("chain", "loihi1", (Port("in", (30,)),), populations, links, Readout("b_1"))
    cuts = [(p, start) for p in populations for start in range(0, p.size, per_core)]
    pieces = [Piece(p.name, start, min(p.size, start + per_core), core) for core, (p, start) in enumerate(cuts)]
    return Program(chip, Place(target)(pieces, chip), "loihi1"), target


@cache
def _made() -> Path | str:
    if ROOT not in sys.path:
        sys.path.append(ROOT)
    from benchmarks.speed.environments import RECIPES, UnavailableError, interpreter  # noqa: PLC0415 - outside tests

    try:
        return interpreter(RECIPES["sanafe"])
    except UnavailableError as problem:
        return str(problem)
