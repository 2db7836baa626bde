"""Runs a chip network in Lava: emits it, runs the emitted script in a child process, reads what it wrote."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.runtimes.lava.child import run_lava_script
from ranvier.runtimes.lava.emit import Project, emit
from ranvier.runtimes.lava.environment import lava_python
from ranvier.runtimes.recording import LayerStats, Recording, Records, check_inputs, encode

STALL_S = 180.0
"""Seconds without a single time step after which a run counts as hanging."""


def run(
    chip: ChipNetwork,
    inputs: NDArray[Any],
    record: Records = (),
    *,
    single_run: bool = False,
    stall: float = STALL_S,
) -> Recording:
    """Run ``chip`` in Lava on ``inputs`` (samples, steps, *shape); the same as the oracle's ``run``.

    The membrane of a stock neuron is derived from its recorded states, because Lava shows it after reset
    only; overflow events are not seen in Lava and stay empty. ``single_run`` as in ``emit``; ``stall``:
    seconds without progress after which the run is ended. Raises ``RanvierError`` RV701 to RV706.
    """
    check_inputs(inputs, chip)
    with tempfile.TemporaryDirectory(prefix="ranvier-lava-") as folder:
        project = emit(chip, Path(folder) / "project", single_run)
        results = Path(folder) / "results"
        seconds = _run(project, encode(chip.ports[0], inputs), results, record, stall)
        return _recording(chip, project, results, record, seconds)


def _run(project: Project, frames: NDArray[np.int32], results: Path, record: Records, stall: float) -> float:
    """Run the emitted script; the seconds that Lava ran."""
    results.mkdir()
    given = results.parent / "inputs.npy"
    np.save(given, frames)
    arguments = ["--inputs", str(given), "--outputs", str(results), "--record", *record]
    done, log = results / "done.json", results / "log.txt"
    ended = run_lava_script(
        lava_python(), project.script, arguments, done, log, stall, progress=results / "progress.npy"
    )
    return ended.seconds


def _recording(chip: ChipNetwork, project: Project, results: Path, record: Records, seconds: float) -> Recording:
    def tracks(what: str) -> Mapping[str, NDArray[Any]]:
        return {name: _load(results, f"{python}.{what}") for name, python in project.attributes.items()}

    states = {
        p.name: {s.name: _load(results, f"{project.attributes[p.name]}.{s.name}") for s in p.program.states}
        for p in chip.populations
        if "states" in record
    }
    spikes = tracks("spikes") if "spikes" in record else {}
    return Recording(
        _load(results, "outputs"),
        _load(results, "predictions"),
        spikes,
        tracks("membrane") if "membrane" in record else {},
        states,
        _stats(chip, {**spikes, chip.ports[0].name: _load(results, "frames")}) if spikes else {},
        (),
        seconds,
    )


def _load(results: Path, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(results / f"{name}.npy", allow_pickle=False)
    return array.astype(np.int64)


def _stats(chip: ChipNetwork, sent: Mapping[str, NDArray[Any]]) -> dict[str, LayerStats]:
    """Counts of the populations, from what every port and population sent, (samples, steps, *shape)."""
    operations = dict.fromkeys((p.name for p in chip.populations), 0)
    for connection in chip.connections:
        fan_out = np.diff(synapse_matrix(connection.synapse).tocsc().indptr)
        active = np.count_nonzero(sent[connection.source].reshape(-1, fan_out.size), axis=0)
        operations[connection.target] += int(active @ fan_out)
    return {
        p.name: LayerStats(p.size, int(np.count_nonzero(sent[p.name])), operations[p.name]) for p in chip.populations
    }
