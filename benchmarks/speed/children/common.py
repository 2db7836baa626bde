# ruff: noqa: BLE001, PLC0415 - a child says whatever went wrong, and has only what its Python has
# mypy: ignore-errors
# Not typed: it runs under the Python of each peer, which has numpy and that peer.
"""What every child does: build the network, run the samples that are checked, then time.

``job.json`` says what to run; ``result.json`` is written anew after each stage, so that what was measured is kept
whatever happens next. A peer is a class with ``Peer(network, job)``, ``record(frames) -> arrays``,
``load(frames) -> loaded`` (not timed) and ``run(loaded)`` (timed; may return its own seconds).
"""

import json
import os
import platform
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path

import numpy as np

LEAST_STEPS, LEAST_REPEATS = 10, 2
GROWTHS, ENOUGH = 5, 1.3
MOST_SHARE = 0.4
"""The share of the time that the first run may take: with the repeats it makes the whole."""


class RefusedError(Exception):
    """The peer cannot run this network; the text says why."""


class Given:
    """The network of a job: ``chip`` and ``graph`` as ``exchange.py`` describes them, and their arrays."""

    def __init__(self, path):
        with np.load(path, allow_pickle=False) as held:
            self.arrays = {name: held[name] for name in held.files}

    def text(self, name):
        """A text of the archive, or None."""
        return str(self.arrays[name]) if name in self.arrays else None

    def described(self, name):
        """``chip`` or ``graph``, parsed; refused where the archive has none."""
        text = self.text(name)
        if text is None:
            raise RefusedError(f"the network is not written out as {name}")
        return json.loads(text)

    def rows(self, connection):
        """(targets, sources) scipy matrix of a connection of the chip network."""
        import scipy.sparse

        parts = [self.arrays[f"{connection['name']}.{part}"] for part in ("data", "indices", "indptr")]
        sizes = {p["name"]: p["size"] for p in (*self.described("chip")["populations"], self.described("chip")["port"])}
        return scipy.sparse.csr_matrix(tuple(parts), shape=(sizes[connection["target"]], sizes[connection["source"]]))

    def ir(self, label):
        """The network as an object of Ranvier's, for the children that import it."""
        from ranvier.compiler.ir.text import parse

        text, prefix = self.text(f"{label} text"), f"{label} tensor:"
        if text is None:
            raise RefusedError("there is no float network")
        return parse(text, {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)})


def serve(make, packages):
    """Run the job named on the command line with the peer that ``make(network, job)`` builds."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    result = {"startup_s": time.time() - job["spawned"], "runs": []}
    result["versions"] = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    try:
        _measure(folder, job, make, result)
    except RefusedError as refused:
        result["refused"] = str(refused)
    except Exception:
        result["failed"] = traceback.format_exc()[-1500:]
    _write(folder, result)
    os._exit(0)


def _measure(folder, job, make, result):
    given = Given(folder / "network.npz")
    inputs = np.load(folder / "inputs.npy", mmap_mode="r")
    started = time.perf_counter()
    peer = make(given, job)
    result["build_s"] = time.perf_counter() - started
    result["built_mb"] = _peak()
    steps = job.get("checked_steps") or inputs.shape[1]
    started = time.perf_counter()
    arrays = peer.record(np.ascontiguousarray(inputs[: job["checked"], :steps]))
    result["checked_s"] = time.perf_counter() - started
    np.savez(folder / "checked.npz", **arrays)
    _write(folder, result)
    cost = _probe(peer, inputs[: job["checked"], :steps], result, job["seconds"])
    for batch in job["batches"]:
        run = _timed(peer, inputs, batch, cost, job)
        cost = min(run["seconds"]) / (run["samples"] * run["steps"])
        result["runs"].append({"batch": batch, **run, "peak_mb": _peak()})
        _write(folder, result)


def _probe(peer, frames, result, limit):
    """Seconds a sample-step, from a second call where the first, which may compile, was short enough."""
    loaded = peer.load(np.ascontiguousarray(frames))
    result["first_call_s"] = seconds = _once(peer, loaded)
    if seconds < limit / 2:
        seconds = _once(peer, loaded)
    return seconds / (frames.shape[0] * frames.shape[1])


def _timed(peer, inputs, batch, cost, job):
    """Seconds of the first run and of up to ``repeats`` further ones, within the job's time for a batch.

    Larger batches may cost less a sample: what is run grows until it is the batch, or takes its share of the time.
    """
    limit, most = job["seconds"], min(batch, len(inputs), getattr(peer, "most_samples", batch))
    for _ in range(GROWTHS):
        samples, steps = fitting(most, inputs.shape[1], cost, limit * MOST_SHARE)
        loaded = peer.load(np.ascontiguousarray(inputs[:samples, :steps]))
        first = _once(peer, loaded)
        cost = first / (samples * steps)
        larger = fitting(most, inputs.shape[1], cost, limit * MOST_SHARE)
        if larger[0] * larger[1] <= ENOUGH * samples * steps:
            break
    started, seconds = time.perf_counter() - first, []
    while len(seconds) < job["repeats"] and (len(seconds) < LEAST_REPEATS or time.perf_counter() - started < limit):
        seconds.append(_once(peer, loaded))
    return {"samples": samples, "steps": steps, "first_s": first, "seconds": seconds}


def fitting(samples, steps, cost, limit):
    """How many samples and steps ``limit`` seconds allow at ``cost`` seconds a sample-step; at least one sample."""
    samples = max(1, min(samples, int(limit / (cost * steps))))
    return samples, max(min(steps, LEAST_STEPS), min(steps, int(limit / (cost * samples))))


def _once(peer, loaded):
    started = time.perf_counter()
    own = peer.run(loaded)
    return time.perf_counter() - started if own is None else own


def _peak():
    """The most memory that this process has had, in MB. The system's account of it starts anew with the program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _write(folder, result):
    part = folder / "result.part"
    part.write_text(json.dumps(result))
    part.replace(folder / "result.json")
