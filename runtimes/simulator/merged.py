"""Connections that the kernels run as one: the parts of a layer whose source wires have several weight exponents.

``sum over parts of (W_e s) << e`` is ``((sum of W_e << (e - least)) s) << least`` as long as nothing can wrap, whatever
is sent; where something could, the parts stay apart, so that every overflow is counted where it happens.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix

LARGEST = 2**31 - 1


def merged(chip: ChipNetwork) -> tuple[Connection, ...]:
    """The connections of ``chip`` in their order, those of one layer as one where that is exact."""
    layers: dict[tuple[str, str, str, int], list[Connection]] = {}
    for c in chip.connections:
        layers.setdefault((c.layer, c.source, c.target, c.delay), []).append(c)
    return tuple(c for parts in layers.values() for c in _merged(chip, parts))


def _merged(chip: ChipNetwork, parts: Sequence[Connection]) -> Sequence[Connection]:
    least = min(c.exponent for c in parts)
    if len(parts) == 1 or least < 0:
        return parts
    total: Matrix = sum(synapse_matrix(c.synapse) * 2 ** (c.exponent - least) for c in parts)
    bits = chip.by_name[parts[0].source].bits
    message = 1 if bits == 0 else 2 ** (bits - 1) - 1
    if int(abs(total).sum(axis=1).max(initial=0)) * message << least > LARGEST:
        return parts
    synapse = _dense_or_sparse(total, sum(c.synapse.data.size for c in parts if isinstance(c.synapse, SparseSynapse)))
    return [replace(parts[0], name=parts[0].layer, synapse=synapse, exponent=least, part_of="")]


def _dense_or_sparse(total: Matrix, stored: int) -> DenseSynapse | SparseSynapse:
    """All to all if there is a synapse, be its weight 0, between every source and target."""
    if stored == total.shape[0] * total.shape[1]:
        return DenseSynapse(total.toarray().astype(np.int32))
    return SparseSynapse(total.data.astype(np.int32), total.indices, total.indptr, total.shape[1])
