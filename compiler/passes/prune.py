"""Prune: the weights that a pattern does without become zero, before anything is rounded.

What pruning takes from a membrane is made good where the pass behind it can: ``rounding="output"`` moves the weights
that are left so that the membrane's error against the unpruned network is least (the objective of SparseGPT: Frantar
and Alistarh 2023, arXiv:2301.00774), ``correct_bias`` takes its mean back, and ``ranvier.fitting`` retunes thresholds.
None of them touches a zero.
"""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import Sparse, Synapse
from ranvier.compiler.ir.network import Network, Node, Note
from ranvier.compiler.ir.sparsity import Entries, Pattern, entries_of, parse_pattern
from ranvier.compiler.passes.arrivals import incoming, weights_of


@dataclass(frozen=True)
class Prune:
    """Set the weights of every layer to zero that ``pattern`` (``compiler/ir/sparsity.py``) does without.

    Layers whose weights all have one size stay: they were not trained (pools, one to one), or have no smallest weight.
    Only zeros that are there already, and those of the pattern, are zero afterwards.
    """

    pattern: str

    def __call__(self, network: Network) -> Network:
        """The folded ``network`` with its layers pruned, each noted; raises ``RanvierError`` RV560."""
        pattern, changed, notes = parse_pattern(self.pattern), dict[str, Node](), []
        for population in network.populations:
            for synapse in incoming(network, population.name):
                pruned = _pruned(synapse, pattern)
                changed[synapse.name] = pruned
                before, after = (int(np.count_nonzero(weights_of(s))) for s in (synapse, pruned))
                text = f"{before - after} of {before} weights are pruned to {self.pattern}"
                notes.append(Note("RV561", synapse.name, text if before > after else f"not pruned to {self.pattern}"))
        nodes = tuple(changed.get(node.name, node) for node in network.nodes)
        return replace(network, nodes=nodes, notes=(*network.notes, *notes))


def _pruned(synapse: Synapse, pattern: Pattern) -> Synapse:
    weights = weights_of(synapse)
    sizes = np.abs(weights[weights != 0])
    if sizes.size == 0 or np.ptp(sizes) <= 1e-12 * sizes.max():
        return synapse
    kept = pattern.kept(_entries(synapse, weights)).reshape(weights.shape)
    rest = np.where(kept, weights, 0.0)
    if isinstance(synapse, Sparse):
        return replace(synapse, data=rest.reshape(-1))
    return replace(synapse, weight=rest.reshape(synapse.weight.shape))


def _entries(synapse: Synapse, weights: FloatArray) -> Entries:
    if not isinstance(synapse, Sparse):
        return entries_of(weights)
    rows = np.repeat(np.arange(synapse.indptr.size - 1), np.diff(synapse.indptr))
    return Entries(rows, synapse.indices, np.abs(synapse.data))
