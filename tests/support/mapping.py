"""A slow, independent account of what a mapping takes of each core, for tests of the mapper; plain neurons.

Everything is counted from unrolled matrices, synapse by synapse; nothing of the mapper is used.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, log2

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.program import Piece
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.targets.schema import Target

Counters = dict[str, int]
# The neurons of each population on one core.
Held = Mapping[str, list[int]]
Kind = tuple[object, ...]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def lif_population(name: str, shape: Shape, latency: int = 1, **registers: ArrayLike) -> Population:
    """Stock neurons with some registers set."""
    values = {"du": 409, "dv": 410, "vth": 64, "bias": 0} | registers
    params = {key: np.asarray(value, dtype=np.int64) for key, value in values.items()}
    initial = {state: np.asarray(0, dtype=np.int64) for state in ("u", "v")}
    return Population(name, shape, chip_lif(Features()), params, initial, latency)


def list_bits(length: int, per_synapse: int, word: int = 64, header: int = 10) -> int:
    """Bits of one list: blocks of 64, each rounded up to words."""
    bits = 0
    while length > 0:
        bits += ceil((min(length, 64) * per_synapse + header) / word) * word
        length -= 64
    return bits


def violations(
    chip: ChipNetwork, target: Target, pieces: Sequence[Piece], *, hard_only: bool = True
) -> list[tuple[int, str, int, int]]:
    """Every rule of the target that some core breaks, as (core, rule, used, limit)."""
    found = []
    for core, counters in sorted(core_counters(chip, target, pieces).items()):
        for rule in target.core.resources:
            if rule.enforce == "error" or not hard_only:
                used = evaluate(rule.use, counters)
                if used > rule.cap.v:
                    found.append((core, rule.name, used, rule.cap.v))
        for pool in target.core.pools:
            used = 0
            for m in pool.members:
                if m.use_bits:
                    used += ceil(evaluate(m.use_bits, counters) / 8)
                elif m.use_bytes and m.use_bytes != "missing":
                    used += evaluate(m.use_bytes, counters)
            if used > int(pool.cap_bytes.v * pool.safety.v):
                found.append((core, pool.name, used, pool.cap_bytes.v))
    return found


def evaluate(use: str, counters: Counters) -> int:
    """A rule of a trusted test target, by Python's own evaluator."""
    if use.startswith("rule:"):
        return counters["bits"]
    names = {"clog2": lambda x: ceil(log2(x)) if x > 1 else 0, "min": min, "max": max}
    return int(eval(use, {"__builtins__": {}}, {**names, **counters}))


def core_counters(chip: ChipNetwork, target: Target, pieces: Sequence[Piece]) -> dict[int, Counters]:
    """The counters of each core."""
    on_core: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for piece in pieces:
        on_core[piece.core][piece.population] += range(piece.start, piece.stop)
    counters = {core: _counters(chip, target, held) for core, held in on_core.items()}
    for core, slots in _out_slots(chip, target, on_core).items():
        counters[core]["n_out_slots"] = slots
    return counters


def _counters(chip: ChipNetwork, target: Target, held: Held) -> Counters:
    profiles, thresholds, formats = set(), set(), set()
    neurons = state = axons = bits = delay = 0
    for name, indices in held.items():
        population = chip.by_name[name]
        assert isinstance(population, Population)
        neurons += len(indices)
        own = len(population.program.states) + sum(p.ndim > 0 for p in population.params.values())
        state += len(indices) * max(target.neuron(population.program.semantics).state_bytes.v.high, 4 * own)
        for i in indices:
            values = {k: int(v if v.ndim == 0 else v[i]) for k, v in population.params.items()}
            profiles.add(tuple(values[k] for k in ("du", "dv", "refractory") if k in values))
            thresholds.add(values.get("vth", values.get("threshold")))
        for connection in chip.into[name]:
            count, stored, kind = connection_cost(connection, target, indices)
            axons, bits, delay = axons + count, bits + stored, max(delay, connection.delay)
            if count:
                formats.add((kind, connection.exponent, connection.sign, connection.delay))
    return {
        "n_neurons": neurons,
        "n_compartments": neurons,
        "n_state_bytes": state,
        "n_in_lists": axons,
        "n_out_slots": 0,
        "n_compartment_profiles": len(profiles),
        "n_vth_profiles": len(thresholds),
        "n_synapse_formats": len(formats),
        "max_delay": delay,
        "bits": bits,
    }


def reach_matrix(connection: Connection) -> BoolArray:
    """(targets, sources) whether there is a synapse; of a convolution, every tap counts."""
    synapse = connection.synapse
    if isinstance(synapse, ConvSynapse):
        synapse = replace(synapse, weight=np.ones_like(synapse.weight))
    return np.asarray(synapse_matrix(synapse).toarray() != 0)


def width_of(connection: Connection, target: Target) -> int:
    """The narrowest weight field of the target on whose grid all weights lie."""
    synapse = connection.synapse
    values = synapse_matrix(synapse).toarray() if not isinstance(synapse, ConvSynapse) else synapse.weight
    for bits in target.synapse.weight_bits.v:
        if np.all(values % 2 ** (8 - bits + (connection.sign == "mixed")) == 0):
            return bits
    return target.synapse.weight_bits.v[-1]


def connection_cost(
    connection: Connection, target: Target, indices: Sequence[int]
) -> tuple[int, int, tuple[object, ...]]:
    """(input axons, bits, kind of format) of a connection for some neurons of its target."""
    synapse, block = connection.synapse, np.array(sorted(indices))
    needed = ceil(log2(len(block))) if len(block) > 1 else 0
    index_bits = next((b for b in target.synapse.index_bits.v if b >= needed), needed)
    base = width_of(connection, target) + (ceil(log2(connection.delay + 1)) if connection.delay else 0)
    if isinstance(synapse, ConvSynapse):
        axons, plain, lengths = _conv_lists(synapse, target, block, reach_matrix(connection)[block])
        return axons, sum(list_bits(n, base + (0 if plain else index_bits)) for n in lengths), ("conv", base)
    lengths = [int(n) for n in reach_matrix(connection)[block].sum(axis=0) if n]
    dense = sum(list_bits(len(block), base) for _ in lengths)
    sparse = sum(list_bits(n, base + index_bits) for n in lengths)
    kind = ("dense", base) if dense <= sparse else ("sparse", base, index_bits)
    return len(lengths), min(dense, sparse), kind


def _conv_lists(
    synapse: ConvSynapse, target: Target, block: IntArray, reached: BoolArray
) -> tuple[int, bool, list[int]]:
    plane = synapse.out_shape[1] * synapse.out_shape[2]
    per_out, per_in = synapse.out_shape[0] // synapse.groups, synapse.weight.shape[1]
    channels = sorted({int(n) // plane for n in block})
    outputs = [sum(c // per_out == g for c in channels) for g in sorted({c // per_out for c in channels})]
    if target.synapse.share_conv == "native":
        taps = synapse.weight.shape[2] * synapse.weight.shape[3]
        return int(reached.any(axis=0).sum()), True, [taps * n for n in outputs for _ in range(per_in)]
    if target.synapse.share_conv == "none":
        lengths = [int(n) for n in reached.sum(axis=0) if n]
        return len(lengths), False, lengths
    pixels = {(int(n) % plane // synapse.out_shape[2], int(n) % synapse.out_shape[2]) for n in block}
    seen, count = set(), 0
    for y in range(synapse.in_shape[1]):
        for x in range(synapse.in_shape[2]):
            pattern = _window(synapse, y, x, pixels)
            count += bool(pattern)
            seen |= {pattern} if pattern else set()
    lengths = [len(pattern) * n for pattern in seen for n in outputs for _ in range(per_in)]
    return count * ceil(per_in * len(outputs) / 512), False, lengths


def _window(synapse: ConvSynapse, y: int, x: int, pixels: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """The kernel taps through which an input pixel meets the output pixels."""
    found = set()
    for ky in range(synapse.weight.shape[2]):
        for kx in range(synapse.weight.shape[3]):
            oy, ry = divmod(y + synapse.padding[0][0] - ky * synapse.dilation[0], synapse.stride[0])
            ox, rx = divmod(x + synapse.padding[1][0] - kx * synapse.dilation[1], synapse.stride[1])
            if ry == rx == 0 and (oy, ox) in pixels:
                found.add((ky, kx))
    return frozenset(found)


def _out_slots(chip: ChipNetwork, target: Target, on_core: Mapping[int, Held]) -> dict[int, int]:
    slots = dict.fromkeys(on_core, 0)
    for connection in chip.connections:
        matrix = reach_matrix(connection)
        for goal in on_core.values():
            if connection.target not in goal:
                continue
            axons, _, _ = connection_cost(connection, target, goal[connection.target])
            price = _price(connection, target, axons)
            touched = np.any(matrix[goal[connection.target]], axis=0)
            for core, held in on_core.items():
                slots[core] += price * int(touched[held[connection.source]].sum()) if connection.source in held else 0
    return slots


def _price(connection: Connection, target: Target, axons: int) -> int:
    if target.synapse.share_conv != "population" or not isinstance(connection.synapse, ConvSynapse):
        return 1
    channels = connection.synapse.in_shape[0]
    atom_bits = ceil(log2(channels)) if channels > 1 else 0
    return 1 if atom_bits <= 9 and axons <= 2 ** (10 - max(0, atom_bits - 5)) else 2
