"""What the host's part of a network costs: operations of a frame, and energy on the constants of the twin.

An operation is a multiply-add of a linear layer, or one that ``host_functions.operations`` counts. The energy of each
is that of a multiply-accumulate of the conventional twin (``equivalent.py``): ``MAC_FACTOR`` times a synaptic operation
of the chip's dense format. That is what the operation would cost on hardware as thrifty as the chip; what a processor
spends, with its memory, is more.
"""

from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.analysis.equivalent import MAC_FACTOR
from ranvier.compiler.ir.host_functions import operations as function_operations
from ranvier.compiler.ir.hosted import HostFunction, HostPart
from ranvier.compiler.ir.linear import Linear
from ranvier.compiler.ir.matrix import linear_matrix

if TYPE_CHECKING:
    from ranvier.targets.schema import Target


def operations(part: HostPart) -> int:
    """Operations of ``part`` for one frame, which is one step of one sample."""
    return sum(function_operations(n) if isinstance(n, HostFunction) else multiply_adds(n) for n in part.nodes)


def multiply_adds(op: Linear) -> int:
    """Weights of ``op``; an output that only repeats one input costs nothing."""
    matrix = linear_matrix(op).tocsr()
    entries = np.diff(matrix.indptr)
    ones = np.zeros(entries.size, dtype=bool)
    single = np.flatnonzero(entries == 1)
    ones[single] = matrix.data[matrix.indptr[single]] == 1.0
    return int(entries[~ones].sum())


def operation_pj(target: "Target | None", basis: str) -> float | None:
    """Picojoules of an operation of the host by the constants ``basis`` of ``target``; None where not known."""
    costs = None if target is None else target.energy.bases.get(basis)
    return None if costs is None else MAC_FACTOR * costs.synapse_pj.v.dense
