"""A whole benchmark run: every workload, every peer, one after the other on the same machine."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed import growth
from benchmarks.speed.child import Answer, Bench, Effort
from benchmarks.speed.environments import RECIPES, interpreters_of
from benchmarks.speed.exchange import synapses
from benchmarks.speed.peers import OURS, PEERS, Peer, absence, gpu
from benchmarks.speed.record import Record, empty, microseconds
from benchmarks.speed.workloads import FULL, QUICK, MissingDataError, Workload

FULL_EFFORT = Effort(seconds=4.0, repeats=7, limit=150.0)
QUICK_EFFORT = Effort(seconds=0.4, repeats=3, limit=40.0, checked=1, quick=True, checked_values=2_000_000)
MAIN = "mlp 10%"
"""The workload at which emulators are measured with one sample as well."""


def measured(
    quick: bool, only: Sequence[str] = (), peers: Sequence[str] = (), keep: Callable[[Record], None] = lambda _: None
) -> Record:
    """Measure everything, or the workloads whose names begin with one of ``only`` and the named ``peers``.

    ``keep`` gets the record after each workload, so that an interruption leaves what has been measured.
    """
    started = time.perf_counter()
    effort, workloads = (QUICK_EFFORT, QUICK) if quick else (FULL_EFFORT, FULL)
    record = empty(quick, gpu())
    chosen = [peer for peer in PEERS.values() if not peers or peer.name in peers]
    _prepare(chosen)
    for name, make in workloads.items():
        if not only or name.startswith(tuple(only)):
            _say(f"{name}: building")
            try:
                measure_workload(record, make(), effort, chosen)
            except MissingDataError as missing:
                _absent(record, name, "every peer", str(missing))
            record["seconds"] = time.perf_counter() - started
            keep(record)
    if not only:
        _own(record, quick)
    record["seconds"] = time.perf_counter() - started
    keep(record)
    return record


def _prepare(chosen: Sequence[Peer]) -> None:
    """Make the environments that are missing, all at once."""
    recipes = [RECIPES[p.environment] for p in chosen if p.environment is not None]
    for name, outcome in interpreters_of(recipes).items():
        _say(f"environment of {name}: {'ready' if isinstance(outcome, Path) else outcome}")


def measure_workload(record: Record, workload: Workload, effort: Effort, peers: Sequence[Peer]) -> None:
    """Add what every peer does on ``workload`` to ``record``."""
    bench = Bench(workload, effort)
    record["workloads"].append(_described(workload, bench))
    try:
        for peer in peers:
            reason = absence(peer, workload.name, workload.neurons, workload.network is not None)
            if reason:
                _absent(record, workload.name, peer.name, reason)
                continue
            batches = workload.batches
            if peer.emulator and workload.name != MAIN:
                batches = batches[-1:]
            _add(record, workload, peer, bench.ask(peer, batches))
        if workload.name == MAIN and any(p.name == OURS for p in peers):
            _cold(record, bench)
    finally:
        bench.close()


def _described(workload: Workload, bench: Bench) -> dict[str, Any]:
    sent = [v for name, v in bench.truth.exact.items() if name.startswith("spikes:")]
    fired = sum(int(np.count_nonzero(v)) for v in sent) / sum(v.size for v in sent)
    row = {"name": workload.name, "neurons": workload.neurons, "synapses": synapses(workload.chip)}
    row |= {"steps": workload.inputs.shape[1], "activity": fired, "compile_s": workload.compile_s}
    return row | {"input_rate": workload.facts.get("rate")}


def _add(record: Record, workload: Workload, peer: Peer, answer: Answer) -> None:
    """Put an answer into the record: the check always, rows as far as there are any."""
    if answer.check is not None:
        c = answer.check
        row = {k: getattr(c, k) for k in ("workload", "peer", "against", "samples", "steps", "compared", "differing")}
        record["checks"].append(row | {"passed": c.passed})
    if answer.reason:
        _absent(record, workload.name, peer.name, answer.reason)
    result = answer.result
    if result:
        record["versions"][peer.name] = result["versions"]
    if result.get("runs"):
        numbers = {k: float(result[k]) for k in ("startup_s", "build_s", "first_call_s", "checked_s")}
        record["starts"].append({"workload": workload.name, "peer": peer.name, **numbers})
    steps = workload.inputs.shape[1]
    for run in result.get("runs", ()):
        less = run["samples"] < run["batch"] or run["steps"] < steps
        row = {"workload": workload.name, "peer": peer.name, "threads": peer.threads, "extrapolated": less, **run}
        record["rows"].append(row)
        wrong = "" if answer.check is not None and answer.check.passed else "  WRONG ANSWERS"
        _say(f"{workload.name}, batch {run['batch']:3}, {peer.name:20} {microseconds(row):12.3f} us{wrong}")


def _absent(record: Record, workload: str, peer: str, reason: str) -> None:
    record["absent"].append({"workload": workload, "peer": peer, "reason": reason})
    _say(f"{workload}, {peer}: {reason}")


def _cold(record: Record, bench: Bench) -> None:
    """Start-up with empty and with full caches: from starting Python to the first recorded result."""
    with tempfile.TemporaryDirectory() as folder:
        empty_caches = {"RANVIER_CACHE": folder, "NUMBA_CACHE_DIR": folder}
        for label in ("cold", "warm"):
            result = bench.ask(PEERS[OURS], (), empty_caches).result
            if result:
                seconds = float(result["startup_s"] + result["build_s"] + result["checked_s"])
                record["measures"][f"start_{label}_s"] = seconds


def _own(record: Record, quick: bool) -> None:
    """Growth and neuron update of our own executor, and the versions of what ran here."""
    _say("growth")
    budget, repeats = (0.1, 2) if quick else (1.0, 7)
    record["growth"] = growth.measure(budget, repeats, 4 if quick else None)
    record["measures"] |= growth.neuron_update(budget, repeats)
    record["versions"]["harness"] = {name: version(name) for name in ("ranvier", "numpy", "numba", "scipy")}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
