"""Other mappers, measured in the same run as ours: METIS, KaHyPar, Mt-KaHyPar; greedy swaps in numpy."""

import importlib
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.flows import Flows
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.axon_kernels import listed, transposed
from ranvier.compiler.passes.mapping.axons import Axons
from ranvier.compiler.passes.mapping.engines import ENGINES
from ranvier.compiler.passes.mapping.refinement import column_starts

SWAPS = 60_000
# Runs in the interpreter that has kahypar: reads the hypergraph, writes the blocks and the processor time.
_KAHYPAR = """
import json, sys, time
import numpy, kahypar
folder, config, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])
given = numpy.load(folder + "/graph.npz")
pointers, members = given["pointers"].tolist(), given["members"].tolist()
neurons = int(given["neurons"])
graph = kahypar.Hypergraph(neurons, len(pointers) - 1, pointers, members, parts)
context = kahypar.Context()
context.loadINIconfiguration(config)
context.setK(parts); context.setEpsilon(0.03); context.setSeed(1); context.suppressOutput(True)
begin = time.process_time()
kahypar.partition(graph, context)
seconds = time.process_time() - begin
json.dump([seconds, [graph.blockID(i) for i in range(neurons)]], open(folder + "/found.json", "w"))
"""


def packets(sources: IntArray, targets: IntArray, core: IntArray) -> int:
    """(axon, core) pairs off the axon's own core."""
    pairs = np.unique(sources * (core.max() + 1) + core[targets])
    return int(np.count_nonzero(core[pairs // (core.max() + 1)] != pairs % (core.max() + 1)))


def metis(sources: IntArray, targets: IntArray, neurons: int, parts: int) -> tuple[IntArray, float] | None:
    """METIS on the graph of synapses, and its seconds; None where pymetis is not installed."""
    from scipy.sparse import coo_array  # noqa: PLC0415

    try:
        pymetis: Any = importlib.import_module("pymetis")
    except ImportError:
        return None
    graph = coo_array((np.ones(sources.size), (sources, targets)), shape=(neurons, neurons)).tocsr()
    graph = (graph + graph.T).tocsr()
    adjacency = pymetis.CSRAdjacency(graph.indptr.astype(np.int64), graph.indices.astype(np.int64))
    begin = time.process_time()
    _, found = pymetis.part_graph(parts, adjacency=adjacency)
    return np.array(found), time.process_time() - begin


def kahypar(
    python: str, config: Path, sources: IntArray, targets: IntArray, neurons: int, parts: int
) -> tuple[IntArray, float]:
    """KaHyPar on the axon hypergraph (epsilon 0.03), run by the interpreter ``python``, and its seconds."""
    order = np.argsort(sources, kind="stable")
    axons, first = np.unique(sources[order], return_index=True)
    members = np.insert(targets[order], first, axons)
    pointers = np.append(first + np.arange(first.size), members.size)
    with TemporaryDirectory() as folder:
        np.savez(Path(folder) / "graph.npz", pointers=pointers, members=members, neurons=neurons)
        subprocess.run([python, "-c", _KAHYPAR, folder, str(config), str(parts)], check=True, timeout=1800)
        seconds, found = json.loads((Path(folder) / "found.json").read_text())
    return np.array(found), seconds


def axons_from(sources: IntArray, targets: IntArray, neurons: int, layers: int) -> Axons:
    """The axon hypergraph of layers of equal size, as the mapper's search takes it."""
    lists = listed(sources.astype(np.int32), targets.astype(np.int32), neurons)
    first = {f"ring{i}": i * (neurons // layers) for i in range(layers)}
    return Axons(first, *lists, *transposed(*lists), np.ones(neurons))


def mt_kahypar(axons: Axons, parts: int) -> tuple[IntArray, float] | None:
    """Mt-KaHyPar (km1, epsilon 0.03, deterministic preset, one thread), and its seconds; None where not installed."""
    begin = time.process_time()
    try:
        found = ENGINES["mtkahypar"](axons, parts, 1)
    except RanvierError:
        return None
    return found.astype(np.int64), time.process_time() - begin


def straight_columns(axons: Axons, parts: int) -> tuple[IntArray, float]:
    """The best of the columns that the search starts from, and the seconds to choose it; no limit is checked."""
    begin = time.process_time()
    size = axons.neurons // len(axons.first)
    found, _ = min(column_starts([size] * len(axons.first), axons, parts), key=lambda start: start[1])
    return found.astype(np.int64), time.process_time() - begin


def layered_flows(sizes: Sequence[int], seed: int = 0) -> Flows:
    """Cores in layers, all to all between consecutive ones, 1 to 5 messages for each pair."""
    ends = np.cumsum(sizes)
    pairs = [
        (a, b)
        for i in range(len(sizes) - 1)
        for a in range(ends[i] - sizes[i], ends[i])
        for b in range(ends[i], ends[i + 1])
    ]
    sources, targets = np.array(pairs).T
    messages = np.random.default_rng(seed).integers(1, 6, sources.size).astype(np.float64)
    return Flows(int(ends[-1]), sources, targets, messages)


def greedy_swaps(flow: Flows, points: NDArray[np.int64], order: IntArray, seed: int = 0) -> tuple[IntArray, float]:
    """``SWAPS`` random swaps, each kept if the hops do not grow, evaluated incrementally in numpy; and its seconds."""
    begin = time.process_time()
    weights: FloatArray = np.zeros((flow.cores, flow.cores))
    weights[flow.sources, flow.targets] = flow.messages
    weights += weights.T
    far = np.abs(points[:, None] - points[None]).sum(axis=2)
    place, random = order.copy(), np.random.default_rng(seed)
    for a, b in random.integers(0, flow.cores, (SWAPS, 2)):
        change = (weights[a] - weights[b]) @ (far[place[b]] - far[place[a]])[place]
        if a != b and change + 2 * weights[a, b] * far[place[a], place[b]] <= 0:
            place[a], place[b] = place[b], place[a]
    return place, time.process_time() - begin
