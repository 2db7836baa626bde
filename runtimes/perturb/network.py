"""A chip network on cells: other weights in units finer than the chip's, and what its arrays do in every step.

A read weight lies between the chip's levels. It is held as an integer of ``2**-F`` levels, and the connection's
exponent is F smaller, so that the shift after the sum takes the fineness away again: the meaning of a chip network is
not changed, every executor runs it, and the overflow proof holds for it. F is at most 8 and such that no sum can leave
the accumulator for it. The result is no program for a chip (its weights are off the grid, RV335), and is never saved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, ChipNetwork, ChipSynapse, Connection, SparseSynapse
from ranvier.runtimes.perturb.cells import Cells, written
from ranvier.runtimes.perturb.device import Device
from ranvier.runtimes.perturb.draws import Key
from ranvier.runtimes.perturb.strength import FULL, Strength

MOST_FINE = 8
LARGEST = 2.0**31 - 1
LATEST_S = 1e12
AFTER_S = 86400.0
"""When a chip runs, if nothing else is said: a day after it was written."""


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A chip network as it is on cells when a run begins: ``network``, which any executor runs, without what changes
    from step to step; ``cells`` and ``fine`` (F) of each connection. Without any effect ``network`` is the chip's.
    """

    network: ChipNetwork
    device: Device
    strength: Strength
    key: Key
    cells: Mapping[str, Cells]
    fine: Mapping[str, int]

    @property
    def by_step(self) -> bool:
        """Whether something changes between steps, so that the network alone is not the whole."""
        d, s = self.device, self.strength
        drifting = d.drift.law != "none" and d.drift.in_run is not None and d.drift.in_run.v and s.drift > 0
        return bool((d.read is not None and s.read > 0) or (d.converter is not None and s.converter) or drifting)


def perturbed(
    chip: ChipNetwork, device: Device, key: Key, strength: Strength = FULL, after_s: float = AFTER_S
) -> Perturbed:
    """``chip`` on cells of ``device``, written with ``key``, its run beginning ``after_s`` later.

    Raises ``RanvierError`` RV552 for a time that is not from 0 to 1e12 s, RV553 for a key outside its range.
    """
    if not 0 <= after_s <= LATEST_S:
        raise error("RV552", "after", f"{after_s:g} s after writing", f"give a time from 0 to {LATEST_S:g} s")
    if min(key.seed, key.trial) < 0 or max(key.seed, key.trial) >= 2**63:
        raise error("RV553", "seed", f"seed {key.seed}, trial {key.trial}", "give whole numbers from 0 to 2**63 - 1")
    if strength.ideal:
        return Perturbed(chip, device, strength, key, {}, {})
    cells = {c.name: written(stored(c.synapse).astype(np.float64), c.name, device, strength, key, after_s)
             for c in chip.connections}  # fmt: skip
    weights = {name: held.weights(0.0) for name, held in cells.items()}
    fine = {c.name: _fineness(chip, c, weights[c.name]) for c in chip.connections}
    made = tuple(_connection(c, weights[c.name], fine[c.name]) for c in chip.connections)
    return Perturbed(replace(chip, connections=made), device, strength, key, cells, fine)


def stored(synapse: ChipSynapse) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The weights of ``synapse`` as it holds them."""
    return synapse.data if isinstance(synapse, SparseSynapse) else synapse.weight


def in_units(weights: FloatArray, fine: int) -> FloatArray:
    """``weights`` in whole units of ``2**-fine`` levels."""
    return np.clip(np.rint(weights * 2.0**fine), -LARGEST, LARGEST)


def _connection(c: Connection, weights: FloatArray, fine: int) -> Connection:
    whole = in_units(weights, fine).astype(np.int32).reshape(stored(c.synapse).shape)
    changed = {"data": whole} if isinstance(c.synapse, SparseSynapse) else {"weight": whole}
    return replace(c, synapse=replace(c.synapse, **changed), exponent=c.exponent - fine)  # type: ignore[arg-type]


def _fineness(chip: ChipNetwork, c: Connection, weights: FloatArray) -> int:
    """The most bits that the sums of ``c`` leave free in their accumulator, whatever is sent; at most ``MOST_FINE``."""
    bits = chip.by_name[c.source].bits
    most = float(2 ** (bits - 1)) if bits else 1.0
    row = _largest_row(c.synapse, np.abs(weights) + 1.0) * most
    free = ACCUMULATOR_BITS[c.synapse.kind] - 1 - int(np.ceil(np.log2(max(row, 1.0))))
    return min(max(free, 0), MOST_FINE)


def _largest_row(synapse: ChipSynapse, sizes: FloatArray) -> float:
    if isinstance(synapse, SparseSynapse):
        sums = np.diff(np.concatenate([[0.0], np.cumsum(sizes)])[synapse.indptr])
    else:
        sums = sizes.reshape(synapse.weight.shape[0], -1).sum(axis=1)
    return float(sums.max(initial=0.0))
