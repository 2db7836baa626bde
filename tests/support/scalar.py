"""A second, independent statement of what a chip network computes: plain Python integers, one neuron at a time.

Written from the equations and in network time (each connection with its delay in network steps), where the
oracle works on arrays and in chip time, so that the two share nothing but the network's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Connection, ConvSynapse, DenseSynapse, Population
from ranvier.compiler.ir.neurons import Compare, Reset
from ranvier.compiler.ir.programs import Features, chip_lif
from support import scalar_kinds

Numbers = Mapping[str, int]
Synapses = list[tuple[int, int, int]]
TOP = 2**23 - 1
RESETS: tuple[Reset, ...] = ("value", "subtract", "none")
COMPARES: tuple[Compare, ...] = (">", ">=")

FEATURES = {
    chip_lif(f).semantics: f
    for f in (
        Features(reset, compare, spikes, True, False, guard, rest, floor, full, *currents)
        for reset, compare, spikes in product(RESETS, COMPARES, (1, 3, 0))
        for guard, rest, floor, full, *currents in product((False, True), repeat=7)
    )
}


def toward_zero(numerator: int, denominator: int) -> int:
    """The quotient without its fraction."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def turned(x: int, bits: int) -> int:
    """Two's complement by whole turns."""
    half: int = 2 ** (bits - 1)
    return (x + half) % (2 * half) - half


def limited(x: int) -> int:
    """The nearest value of a symmetric 24-bit register."""
    return max(-TOP, min(TOP, x))


def lif(f: Features, p: Numbers, s: Numbers, a: int) -> tuple[int, int, dict[str, int]]:
    """(sent, membrane before reset, new states) of one neuron for the weighted input ``a``."""
    u = turned(toward_zero(s["u"] * (4096 - (p["du"] + 1)), 4096) + turned(64 * a, 32), 32)
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    current = s["u"] if f.late_current else u
    h = limited(turned(turned(toward_zero(s["v"] * (4096 - p["dv"]), 4096) + current, 32) + p["bias"], 32))
    level = 64 * p["vth"] if f.stock else p["threshold"]
    if f.late_guard and s["v"] > level:
        level *= 2
    resting = f.refractory and s["rest"] > 0
    if resting:
        h = s["v"]
    fires = not resting and (h >= level if f.compare == ">=" else h > level)
    sent = int(fires)
    if fires and f.max_spikes != 1:
        sent = h // level if f.max_spikes == 0 else min(h // level, f.max_spikes)
    v = h
    if f.reset == "value" and fires:
        v = 0 if f.stock else p["reset_value"]
    if f.reset == "subtract" and fires:
        v = limited(h - sent * p["reset_amount"])
    if f.floor:
        v = max(v, p["floor"])
    return sent, h, {"u": u, "v": v} | _after(f, p, s, bool(fires), bool(resting))


def _after(f: Features, p: Numbers, s: Numbers, fires: bool, resting: bool) -> dict[str, int]:
    """States that a spike or rest sets by themselves."""
    found = {"u": 0} if (f.block_input and resting) or (f.reset_current and fires) else {}
    if f.refractory:
        found["rest"] = p["refractory"] if fires else max(s["rest"] - 1, 0)
    return found


def one(semantics: str, p: Numbers, s: Numbers, a: int) -> tuple[int, int, dict[str, int]]:
    """One step of the neuron with this semantic id."""
    if semantics in FEATURES:
        return lif(FEATURES[semantics], p, s, a)
    return scalar_kinds.advance(semantics, p, s, a)


def synapses(s: ChipSynapse) -> Synapses:
    """(target, source, weight) of every synapse."""
    if isinstance(s, DenseSynapse):
        return [(o, i, int(s.weight[o, i])) for o in range(s.out_size) for i in range(s.in_size)]
    if not isinstance(s, ConvSynapse):
        rows = range(s.out_size)
        return [(o, int(s.indices[k]), int(s.data[k])) for o in rows for k in range(s.indptr[o], s.indptr[o + 1])]
    (_, height, width), (channels, rows_out, columns_out) = s.in_shape, s.out_shape
    per_group, inside = channels // s.groups, s.weight.shape[1]
    found = []
    for o, y, x in product(range(channels), range(rows_out), range(columns_out)):
        for i, ky, kx in product(range(inside), range(s.weight.shape[2]), range(s.weight.shape[3])):
            row = y * s.stride[0] + ky * s.dilation[0] - s.padding[0][0]
            column = x * s.stride[1] + kx * s.dilation[1] - s.padding[1][0]
            if 0 <= row < height and 0 <= column < width:
                source = ((o // per_group * inside + i) * height + row) * width + column
                found.append(((o * rows_out + y) * columns_out + x, source, int(s.weight[o, i, ky, kx])))
    return found


def delivered(c: Connection, wires: Synapses, sent: list[int]) -> list[int]:
    """The input ``a`` that connection ``c`` gives to each target for what its sources ``sent``."""
    sums = [0] * c.synapse.out_size
    for target, source, weight in wires:
        sums[target] += weight * sent[source]
    sums = [turned(x, 24 if c.synapse.kind == "conv" else 32) for x in sums]
    return [turned(x * 2**c.exponent, 32) if c.exponent > 0 else x // 2**-c.exponent for x in sums]


@dataclass
class Trace:
    """What one population gave in one sample, a list over steps of lists over neurons."""

    sent: list[list[int]]
    membrane: list[list[int]]
    states: list[list[dict[str, int]]]


def run(chip: ChipNetwork, frames: list[list[int]]) -> dict[str, Trace]:
    """One sample: ``frames`` are the integers on the port's wires, step by step."""
    wires = {c.name: synapses(c.synapse) for c in chip.connections}
    traces = {p.name: Trace([], [], []) for p in chip.populations}
    order = sorted(chip.populations, key=lambda p: p.latency)
    for step in range(len(frames)):
        for population in order:
            arriving = [0] * population.size
            for c in chip.into[population.name]:
                before = step - chip.network_delay(c)
                sent = frames if c.source == chip.ports[0].name else traces[c.source].sent
                if before >= 0:
                    gives = delivered(c, wires[c.name], sent[before])
                    arriving = [turned(x + y, 32) for x, y in zip(arriving, gives, strict=True)]
            _advance(population, traces[population.name], arriving)
    return traces


def _advance(population: Population, trace: Trace, arriving: list[int]) -> None:
    parameters = [_of(population.params, n) for n in range(population.size)]
    before = trace.states[-1] if trace.states else [_of(population.initial, n) for n in range(population.size)]
    semantics = population.program.semantics
    results = [one(semantics, p, s, a) for p, s, a in zip(parameters, before, arriving, strict=True)]
    trace.sent.append([sent for sent, _, _ in results])
    trace.membrane.append([h for _, h, _ in results])
    trace.states.append([states for _, _, states in results])


def _of(values: Mapping[str, object], neuron: int) -> dict[str, int]:
    arrays = {name: np.atleast_1d(np.asarray(value)) for name, value in values.items()}
    return {name: int(array[neuron % array.size]) for name, array in arrays.items()}
