"""METIS as another start for refinement, where the package ``pymetis`` is installed."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.passes.mapping.axons import Axons


def metis(axons: Axons, cores: int, seed: int) -> NDArray[np.int32]:
    """(neurons,) parts of the graph of synapses with few cut synapses, balanced within 3 %; RV526 without pymetis.

    METIS knows neither axons nor capacities: its cut is a start, to be annealed and checked like any other.
    """
    try:
        pymetis: Any = importlib.import_module("pymetis")
    except ImportError:
        fix = "install pymetis, or leave the engine to the default"
        raise RanvierError([Diagnostic("RV526", "engine", "METIS needs the package pymetis", fix)]) from None
    from scipy.sparse import coo_array  # noqa: PLC0415 -- importing the compiler stays fast

    sources = np.repeat(np.arange(axons.neurons), np.diff(axons.pointers))
    apart = sources != axons.members
    shape = (axons.neurons, axons.neurons)
    graph = coo_array((np.ones(int(apart.sum())), (sources[apart], axons.members[apart])), shape=shape).tocsr()
    graph = (graph + graph.T).tocsr()
    adjacency = pymetis.CSRAdjacency(graph.indptr.astype(np.int64), graph.indices.astype(np.int64))
    _, parts = pymetis.part_graph(cores, adjacency=adjacency, options=pymetis.Options(seed=seed))
    return np.array(parts, dtype=np.int32)
