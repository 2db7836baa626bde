"""Other partitioners as starts for refinement, where their packages are installed: METIS and Mt-KaHyPar.

Neither knows capacities other than balance: what they find is a start, to be annealed and checked like any other.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.passes.mapping.axons import Axons

# Where the start of the refinement comes from: columns alone, or another partitioner too.
Engine = Literal["columns", "metis", "mtkahypar"]
Assignment = NDArray[np.int32]
# By how much a core may exceed the mean.
_IMBALANCE = 0.03


def metis(axons: Axons, cores: int, seed: int) -> Assignment:
    """(neurons,) parts of the graph of synapses with few cut synapses, balanced within 3 %; RV526 without pymetis."""
    pymetis = _package("METIS", "pymetis")
    from scipy.sparse import coo_array  # noqa: PLC0415 -- importing the compiler stays fast

    sources = np.repeat(np.arange(axons.neurons), np.diff(axons.pointers))
    apart = sources != axons.members
    shape = (axons.neurons, axons.neurons)
    graph = coo_array((np.ones(int(apart.sum())), (sources[apart], axons.members[apart])), shape=shape).tocsr()
    graph = (graph + graph.T).tocsr()
    adjacency = pymetis.CSRAdjacency(graph.indptr.astype(np.int64), graph.indices.astype(np.int64))
    _, parts = pymetis.part_graph(cores, adjacency=adjacency, options=pymetis.Options(seed=seed))
    return np.array(parts, dtype=np.int32)


def mtkahypar(axons: Axons, cores: int, seed: int) -> Assignment:
    """(neurons,) parts of the axon hypergraph by km1, balanced within 3 %; RV526 without mtkahypar.

    One thread and the deterministic preset, so that a seed gives one result. Spike rates are rounded to a 1000th of
    the largest, because weights are integers there.
    """
    package = _package("Mt-KaHyPar", "mtkahypar")
    engine = _initialized(package)
    package.set_seed(seed)
    context = engine.context_from_preset(package.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(cores, _IMBALANCE, package.Objective.KM1)
    held = np.flatnonzero(np.diff(axons.pointers) > 0)
    members = [axons.members[axons.pointers[e] : axons.pointers[e + 1]].tolist() for e in held]
    scale = 1000.0 / (float(axons.weights.max()) or 1.0)
    weights = np.maximum(1, np.rint(axons.weights[held] * scale)).astype(int).tolist()
    graph = engine.create_hypergraph(context, axons.neurons, len(members), members, [1] * axons.neurons, weights)
    found = graph.partition(context)
    return np.array([found.block_id(v) for v in range(axons.neurons)], dtype=np.int32)


@lru_cache
def _initialized(package: Any) -> Any:
    """The engine, which a process has once."""
    return package.initialize(1)


def _package(name: str, package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        fix = f"install {package}, or leave the engine to the default"
        raise RanvierError([Diagnostic("RV526", "engine", f"{name} needs the package {package}", fix)]) from None


ENGINES: Final[Mapping[str, Callable[[Axons, int, int], Assignment]]] = {"metis": metis, "mtkahypar": mtkahypar}
