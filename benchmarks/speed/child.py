"""Starts one peer on one workload in a child process with a time limit, and judges its answers."""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed.environments import UnavailableError
from benchmarks.speed.exact import convolved
from benchmarks.speed.exchange import synapses, write_network
from benchmarks.speed.peers import CHILDREN, Peer
from benchmarks.speed.workloads import Workload
from numpy.typing import NDArray

from ranvier.runtimes import oracle, reference
from ranvier.runtimes.lava.child import run_child
from ranvier.runtimes.recording import Records

Arrays = dict[str, NDArray[Any]]
ROOT = Path(__file__).parents[2]
MOST_MATRIX = 20_000_000
"""Synapses above which the oracle's matrices would not fit, and ``exact`` stands for it."""
CLOSE = 0.99
"""The least share of equal neuron-steps at which a float peer counts as running the same network."""


@dataclass(frozen=True)
class Effort:
    """How much: ``seconds`` a batch, ``repeats`` at most, ``limit`` seconds a child, ``checked`` samples."""

    seconds: float
    repeats: int
    limit: float
    checked: int = 2
    quick: bool = False
    checked_values: int = 20_000_000
    """Neuron-steps above which fewer samples, then fewer steps, are checked."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What peers must equal on the checked samples: arrays of the oracle, spikes of the float reference."""

    samples: int
    steps: int
    exact: Mapping[str, NDArray[Any]]
    floats: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Check:
    """The comparison of one peer on one workload; ``compared`` counts values, ``differing`` the unequal ones."""

    workload: str
    peer: str
    against: str
    samples: int
    steps: int
    compared: int
    differing: int
    passed: bool

    @property
    def agreement(self) -> float:
        """The share of equal values."""
        return 1.0 - self.differing / self.compared if self.compared else 0.0


@dataclass(frozen=True)
class Answer:
    """What a child reported (``{}`` where it reported nothing), its check, or the reason why there is none."""

    result: Mapping[str, Any]
    check: Check | None = None
    reason: str = ""


@dataclass(eq=False)
class Bench:
    """A workload laid out in a folder for its children."""

    workload: Workload
    effort: Effort
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ranvier-speed-")))

    def __post_init__(self) -> None:
        write_network(self.folder / "network.npz", self.workload.chip, self.workload.network)
        np.save(self.folder / "inputs.npy", self.workload.inputs)
        self.truth = truth(self.workload, self.effort)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, peer: Peer, batches: Sequence[int], variables: Mapping[str, str] | None = None) -> Answer:
        """Run ``peer``; every failure of it is an answer with a reason."""
        try:
            python = peer.python()
        except UnavailableError as problem:
            return Answer({}, None, str(problem))
        place = Path(tempfile.mkdtemp(dir=self.folder))
        for name in ("network.npz", "inputs.npy"):
            (place / name).symlink_to(self.folder / name)
        job = {
            "batches": list(batches), "checked": self.truth.samples, "checked_steps": self.truth.steps,
            "repeats": self.effort.repeats, "seconds": self.effort.seconds, "threads": peer.threads,
            "variant": peer.variant, "device": peer.device, "quick": self.effort.quick,
            "spawned": time.time(),
        }  # fmt: skip
        (place / "job.json").write_text(json.dumps(job))
        command = [str(python), str(CHILDREN / peer.script), str(place), *peer.arguments]
        ended = run_child(command, place / "log.txt", self.effort.limit, extra=_variables(peer) | dict(variables or {}))
        if not (place / "result.json").is_file():
            return Answer({}, None, _silent(place / "log.txt", ended.code, self.effort.limit))
        return self._judged(peer, place, ended.code)

    def _judged(self, peer: Peer, place: Path, code: int | None) -> Answer:
        result = json.loads((place / "result.json").read_text())
        if "refused" in result:
            return Answer({}, None, result["refused"])
        if not (place / "checked.npz").is_file():
            return Answer({}, None, f"failed: {_last_words(result.get('failed', ''))}")
        with np.load(place / "checked.npz", allow_pickle=False) as held:
            check = judge(self.workload.name, peer, {name: held[name] for name in held.files}, self.truth)
        reason = "" if code is not None else f"ended after {self.effort.limit:g} s"
        failed = result.get("failed", "").strip()
        return Answer(result, check, f"failed: {_last_words(failed)}" if failed else reason)


def _last_words(failed: str) -> str:
    """What went wrong, from a traceback: its last line, without the way out that a diagnostic ends with."""
    lines = [line.strip() for line in failed.splitlines() if line.strip() and not line.strip().startswith("Fix:")]
    return lines[-1] if lines else "without a word"


def truth(workload: Workload, effort: Effort) -> Truth:
    """The oracle's and the float reference's answers on the first samples."""
    samples, steps = len(workload.inputs), workload.inputs.shape[1]
    samples = max(1, min(effort.checked, samples, effort.checked_values // (steps * workload.neurons)))
    steps = max(1, min(steps, effort.checked_values // (samples * workload.neurons)))
    inputs = workload.inputs[:samples, :steps]
    if synapses(workload.chip) > MOST_MATRIX:
        return Truth(
            samples, steps, convolved(workload, inputs, floats=False), convolved(workload, inputs, floats=True)
        )
    kept: Records = ("spikes", "states")
    exact = oracle.run(workload.chip, inputs, kept)
    arrays = {f"spikes:{n}": v for n, v in exact.spikes.items()}
    arrays |= {f"{s}:{n}": v for n, states in exact.states.items() for s, v in states.items()}
    floats: Arrays = {}
    if workload.network is not None:
        found = reference.run(workload.network, inputs, ("spikes",))
        floats = {f"spikes:{n}": v for n, v in found.spikes.items()}
    return Truth(samples, steps, arrays, floats)


def judge(workload: str, peer: Peer, arrays: Mapping[str, NDArray[Any]], truth_: Truth) -> Check:
    """Compare what ``peer`` recorded with what it must equal; a missing population is no pass."""
    wanted = truth_.floats if peer.judged == "close" else truth_.exact
    if peer.judged != "states":
        wanted = {name: value for name, value in wanted.items() if name.startswith("spikes:")}
    compared = differing = 0
    for name, value in wanted.items():
        compared += value.size
        given = arrays.get(name)
        same_size = given is not None and given.size == value.size
        differing += int(np.count_nonzero(given.reshape(value.shape) != value)) if same_size else value.size  # type: ignore[union-attr]
    share = 1.0 - differing / compared if compared else 0.0
    passed = share >= CLOSE if peer.judged == "close" else compared > 0 and differing == 0
    against = "float reference" if peer.judged == "close" else "oracle"
    return Check(workload, peer.name, against, truth_.samples, truth_.steps, compared, differing, passed)


def _variables(peer: Peer) -> dict[str, str]:
    """One thread for every library, unless the peer is measured with more."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, str(peer.threads)) | {"MPLBACKEND": "Agg", "CUDA_MODULE_LOADING": "LAZY"}


def _silent(log: Path, code: int | None, limit: float) -> str:
    if code is None:
        return f"no answer within {limit:g} s"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"ended with code {code}: {lines[-1] if lines else 'nothing said'}"
