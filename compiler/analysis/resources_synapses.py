"""Synaptic memory: the lists that a connection puts on a core for a block of its target, and their bits.

A spike selects one list on each core that it reaches. A list is stored in blocks of at most 64 synapses, each
block a header and its synapses, rounded up to whole words (nengo-loihi 1.1.0, ``bits_per_axon``)::

    bits(n) = sum over blocks of ceil_to(n_block * (weight + delay [+ index]) + header, word)

*dense* lists hold a weight for every neuron of the block, *sparse* ones the nonzero weights and their
indices, *runlength* ones the nonzero weights and how many zeros come before each (a synapse of weight zero stands in
where they are more than the field can count); each connection takes what is smallest. Shared convolutions hold one set
of lists for all positions that look alike (``population``, Loihi 1), or the kernel alone (``native``, Loihi 2: an
estimate, its encoding is not public).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.analysis.resources_blocks import Block, Interval
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipSynapse, Connection, ConvSynapse, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.targets.expression import ceil_to, clog2

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

BoolArray = NDArray[np.bool_]
# Weights have 8 bits; the grid of mixed signs is the even integers, so the sign costs one bit of them.
_FULL_BITS = 8
# Storage format of one connection: kind, weight bits, delay bits, index bits, exponent, sign.
Format = tuple[str, int, int, int, int, str]


@dataclass(frozen=True)
class Lists:
    """What a connection costs on the core of one block: input axons, bits, and the storage format."""

    axons: int
    bits: int
    format: Format


def lists(connection: Connection, block: Block, target: "Target", width: int) -> Lists:
    """The cheapest legal storage of ``connection``, its weights ``width`` bits wide, for ``block``."""
    return min(by_format(connection, block, target, width).values(), key=lambda choice: choice.bits)


def by_format(connection: Connection, block: Block, target: "Target", width: int) -> dict[str, Lists]:
    """What ``connection`` costs for ``block`` in every format of the target; a shared convolution has one alone."""
    synapse = connection.synapse
    if isinstance(synapse, ConvSynapse):
        found = _conv_lists(connection, synapse, block, target, width)
        return {found.format[0]: found}
    lengths = _row_lengths(synapse, block)
    active = lengths[lengths > 0]
    sizes = {"dense": np.full(active.size, block.size), "sparse": active}
    if "runlength" in target.synapse.formats:
        sizes["runlength"] = active + _fillers(synapse, block, target)[lengths > 0]
    return {k: _stored(connection, k, sizes[k], block, target, width) for k in target.synapse.formats}


def reach(connection: Connection, block: Block) -> BoolArray:
    """(sources,) which sources have a list for the block; of a convolution, all weights count as nonzero."""
    synapse = connection.synapse
    if not isinstance(synapse, ConvSynapse):
        return np.asarray(_row_lengths(synapse, block) > 0)
    found = np.zeros(synapse.in_shape, dtype=bool)
    found[reach_box(synapse, block)] = True
    return found.reshape(-1)


def reach_box(synapse: ConvSynapse, block: Block) -> tuple[IntArray, ...]:
    """The same for a convolution: open mesh of the channels, rows and columns that have a list for the block."""
    rows, columns = (np.flatnonzero(_taps(synapse, axis, block.box[axis + 1]).any(axis=1)) for axis in (0, 1))
    first, last = (_groups(synapse, block.box[0])[end][0] for end in (0, -1))
    per_in = synapse.weight.shape[1]
    return np.ix_(np.arange(first * per_in, (last + 1) * per_in), rows, columns)


def reach_length(synapse: ConvSynapse, axis: int, outputs: Interval) -> int:
    """Source channels (axis 0), rows or columns that a block with ``outputs`` on that axis reaches."""
    if axis == 0:
        return len(_groups(synapse, outputs)) * int(synapse.weight.shape[1])
    return int(np.count_nonzero(_taps(synapse, axis - 1, outputs).any(axis=1)))


def likeness(connection: Connection, block: Block) -> tuple[object, ...]:
    """Blocks of the connection's target with equal likeness have equal ``lists``; the block if nothing is known."""
    synapse = connection.synapse
    if not isinstance(synapse, ConvSynapse):
        return (block,)
    outputs = tuple(sorted(number for _, number in _groups(synapse, block.box[0])))
    return (outputs, block.size, *(_axis_likeness(*_axis(synapse, axis, block.box[axis + 1])) for axis in (0, 1)))


def fan_in(synapse: ChipSynapse) -> IntArray:
    """(targets,) number of synapses that end on each neuron; of a convolution, all weights count."""
    if isinstance(synapse, DenseSynapse):
        return np.asarray(np.count_nonzero(synapse.weight, axis=1), dtype=np.int64)
    if isinstance(synapse, SparseSynapse):
        return np.diff(np.concatenate([[0], np.cumsum(synapse.data != 0)])[synapse.indptr])
    rows, columns = (
        np.array([_taps(synapse, axis, (o, o + 1)).sum() for o in range(synapse.out_shape[axis + 1])])
        for axis in (0, 1)
    )
    window = synapse.weight.shape[1] * np.outer(rows, columns)
    return np.broadcast_to(window, synapse.out_shape).reshape(-1).astype(np.int64)


def axon_slots(connection: Connection, target: "Target", axons: int) -> int:
    """Output slots that a source neuron pays to reach a block where the connection has ``axons`` input axons.

    Population axons take two once their ids and channels no longer fit the short form.
    """
    slots, pop, synapse = target.synapse.out_slots, target.synapse.pop, connection.synapse
    if not (slots and pop and target.synapse.share_conv == "population" and isinstance(synapse, ConvSynapse)):
        return slots.v.discrete if slots else 1
    atom_bits = clog2(synapse.in_shape[0])
    id_bits = pop.v.pop16_axon_bits - max(0, atom_bits - pop.v.pop16_free_atom_bits)
    few = atom_bits <= pop.v.pop16_atom_bits_max and clog2(axons) <= id_bits
    return slots.v.pop16 if few else slots.v.pop32


def weight_bits(connection: Connection, target: "Target") -> int:
    """The narrowest weight field that holds the connection's weights: low bits that are zero in all go."""
    synapse = connection.synapse
    values = synapse.data if isinstance(synapse, SparseSynapse) else synapse.weight
    union = int(np.bitwise_or.reduce(values, axis=None)) if values.size else 0
    zeros = (union & -union).bit_length() - 1 if union else _FULL_BITS
    needed = _FULL_BITS + (connection.sign == "mixed") - zeros
    return next((b for b in target.synapse.weight_bits.v if b >= needed), target.synapse.max_weight_bits)


def list_bits(lengths: IntArray, bits_per_synapse: int, target: "Target") -> IntArray:
    """Bits of lists of the given lengths by the formula of this module."""
    longest, store = target.synapse.block_max_synapses.v, target.synapse.block_bits.v
    full, rest = np.divmod(lengths, longest)
    whole = ceil_to(longest * bits_per_synapse + store.header, store.word)
    remainder = -(-(rest * bits_per_synapse + store.header) // store.word) * store.word
    return np.asarray(full * whole + np.where(rest > 0, remainder, 0), dtype=np.int64)


def _row_lengths(synapse: DenseSynapse | SparseSynapse, block: Block) -> IntArray:
    """(sources,) number of nonzero weights from each source into the block."""
    if isinstance(synapse, DenseSynapse):
        parts = [np.count_nonzero(synapse.weight[start:stop], axis=0) for start, stop in block.ranges()]
        return np.asarray(sum(parts), dtype=np.int64)
    held = [np.arange(synapse.indptr[start], synapse.indptr[stop]) for start, stop in block.ranges()]
    where = np.concatenate(held)
    kept = synapse.indices[where][synapse.data[where] != 0]
    return np.bincount(kept, minlength=synapse.in_size)


def _fillers(synapse: DenseSynapse | SparseSynapse, block: Block, target: "Target") -> IntArray:
    """(sources,) synapses of weight zero that each list needs, where more zeros follow than a run can count."""
    matrix = sparse.csc_array(synapse_matrix(synapse)[block.indices()])
    matrix.eliminate_zeros()
    matrix.sort_indices()
    sources = np.repeat(np.arange(synapse.in_size), np.diff(matrix.indptr))
    before = np.concatenate([[-1], matrix.indices[:-1]]) if sources.size else matrix.indices
    first = np.diff(sources, prepend=-1) != 0
    zeros = matrix.indices - np.where(first, -1, before) - 1
    fillers = zeros // (target.synapse.longest_run + 1)
    return np.bincount(sources, fillers, synapse.in_size).astype(np.int64)


def _stored(connection: Connection, kind: str, lengths: IntArray, block: Block, target: "Target", width: int) -> Lists:
    delay, index = clog2(connection.delay + 1), 0
    if kind == "sparse":
        needed = clog2(block.size)
        index = next((b for b in target.synapse.index_bits.v if b >= needed), needed)
    elif kind == "runlength":
        index = target.synapse.longest_run.bit_length()
    bits = int(list_bits(lengths, width + delay + index, target).sum())
    return Lists(lengths.size, bits, (kind, width, delay, index, connection.exponent, connection.sign))


def _conv_lists(connection: Connection, synapse: ConvSynapse, block: Block, target: "Target", width: int) -> Lists:
    taps = [_taps(synapse, axis, block.box[axis + 1]) for axis in (0, 1)]
    pixels = int(np.prod([t.any(axis=1).sum() for t in taps]))
    groups, per_in = _groups(synapse, block.box[0]), synapse.weight.shape[1]
    channels = per_in * len(groups)
    mode = target.synapse.share_conv
    if mode == "native":
        kernel = synapse.weight.shape[2] * synapse.weight.shape[3]
        lengths = np.repeat([kernel * outputs for _, outputs in groups], per_in)
        stored = _stored(connection, "dense", lengths, block, target, width)
        return Lists(pixels * channels, stored.bits, ("conv", *stored.format[1:]))
    seen = [t[t.any(axis=1)] for t in taps]
    alike = [np.unique(t, axis=0) if mode == "population" and t.size else t for t in seen]
    positions = np.outer(*(t.sum(axis=1) for t in alike)).reshape(-1)
    lengths = np.concatenate([np.repeat(positions * outputs, per_in) for _, outputs in groups])
    stored = _stored(connection, "sparse", lengths, block, target, width)
    if mode == "none" or target.synapse.pop is None:
        return Lists(pixels * channels, stored.bits, stored.format)
    atoms = 1 << target.synapse.pop.v.pop16_atom_bits_max
    return Lists(pixels * -(-channels // atoms), stored.bits, ("conv", *stored.format[1:]))


def _groups(synapse: ConvSynapse, channels: Interval) -> tuple[tuple[int, int], ...]:
    """The groups that output ``channels`` belong to, each with the number of those channels in it."""
    return _touched(synapse.out_shape[0] // synapse.groups, channels)


@lru_cache(maxsize=4096)
def _touched(per_out: int, channels: Interval) -> tuple[tuple[int, int], ...]:
    start, stop = channels
    touched = range(start // per_out, (stop - 1) // per_out + 1)
    return tuple((g, min(stop, (g + 1) * per_out) - max(start, g * per_out)) for g in touched)


def _taps(synapse: ConvSynapse, axis: int, outputs: Interval) -> BoolArray:
    """(inputs, kernel) along one spatial axis: whether an input meets a kernel tap in one of the outputs."""
    return _axis_taps(*_axis(synapse, axis, outputs))


def _axis(synapse: ConvSynapse, axis: int, outputs: Interval) -> tuple[int, int, int, int, int, Interval]:
    return (
        synapse.in_shape[axis + 1],
        synapse.weight.shape[axis + 2],
        synapse.stride[axis],
        synapse.padding[axis][0],
        synapse.dilation[axis],
        outputs,
    )


@lru_cache(maxsize=4096)
def _axis_likeness(inputs: int, kernel: int, stride: int, before: int, dilation: int, outputs: Interval) -> bytes:
    """Which taps meet the outputs, wherever the inputs lie that do."""
    taps = _axis_taps(inputs, kernel, stride, before, dilation, outputs)
    return np.packbits(taps[taps.any(axis=1)], axis=1).tobytes()


@lru_cache(maxsize=4096)
def _axis_taps(inputs: int, kernel: int, stride: int, before: int, dilation: int, outputs: Interval) -> BoolArray:
    offset = np.arange(inputs)[:, None] + before - dilation * np.arange(kernel)
    window = offset // stride
    return np.asarray((offset % stride == 0) & (window >= outputs[0]) & (window < outputs[1]))
