"""Executors that differ: which layer does not do what the chip network says, and what it does instead.

An executor shows only what it computed. Every layer of the chip network is given the spikes that the executor's own
layers sent; the layer whose membranes then differ is the wrong one, whatever came before it. Then single changes are
tried on it, the simplest first, until one gives exactly what the executor gave.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipSynapse, Connection, ConvSynapse
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix
from ranvier.compiler.ir.neuron_base import Reset
from ranvier.compiler.ir.programs import INPUT_SHIFT, Features, chip_lif
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.arithmetic import OTHER, comparing, comparison
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.engine import Wires, forced
from ranvier.runtimes.verify.explain.layers import Layer, Link, mixed
from ranvier.runtimes.verify.explain.results import ExecutorFault
from ranvier.runtimes.verify.explain.views import View, compared, flat_neuron
from ranvier.runtimes.verify.results import Difference

Values = NDArray[Any]
MORE_DELAY = 3
RESETS: tuple[Reset, ...] = ("value", "subtract", "none")
DECAYS: Mapping[str, str] = {"du": groups.CURRENT_DECAY, "dv": groups.MEMBRANE_DECAY}
WEIGHT_BITS = 9
TRIED = 20_000


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What the executor's layer gave."""

    sent: Values
    membrane: Values

    def given_by(self, layer: Layer, wires: Wires) -> bool:
        """Whether ``layer`` gives exactly that."""
        sent, membrane = forced(layer, wires)
        return bool(np.array_equal(sent, self.sent) and np.array_equal(membrane, self.membrane))


def faults_of(bench: Bench, name: str, view: View) -> tuple[ExecutorFault, ...]:
    """The layers in which the executor ``name``, which gave ``view``, is not what the chip network says."""
    part = Bench(bench.chip, bench.source, bench.inputs[: len(view.predictions)])
    wires = part.wires(view, exact_input=False)
    found = []
    for layer, pair in part.pairs.items():
        if layer not in view.membrane or any(c.source not in wires for c in pair.connections):
            continue
        right = mixed(pair, groups.NOTHING)
        sent, membrane = forced(right, wires)
        c = compared(bench.frame, layer, (sent, view.sent[layer]), (membrane, view.membrane[layer]))
        first = _earlier(c.first, c.first_membrane)
        if first is None:
            continue
        wanted = _Wanted(view.sent[layer], view.membrane[layer])
        cause, change = _identified(right, pair.connections, wires, wanted, (first, flat_neuron(bench.frame, first)))
        found.append(ExecutorFault(name, layer, first, cause, change))
    return tuple(found)


def _earlier(spike: Difference | None, membrane: Difference | None) -> Difference | None:
    if spike is None or membrane is None:
        return spike or membrane
    return spike if spike.step < membrane.step else membrane


def _identified(
    right: Layer,
    connections: Sequence[Connection],
    wires: Wires,
    wanted: _Wanted,
    first: tuple[Difference, int],
) -> tuple[str | None, str | None]:
    """The first single change of ``right`` that gives what was ``wanted``: its kind, and in words."""
    for cause, change, layer in _changes(right, connections, wires, wanted, first):
        if wanted.given_by(layer, wires):
            return cause, change
    return None, None


def _changes(
    right: Layer,
    connections: Sequence[Connection],
    wires: Wires,
    wanted: _Wanted,
    first: tuple[Difference, int],
) -> Iterator[tuple[str, str, Layer]]:
    kind = comparison(right.program)
    if kind is not None:
        yield (
            groups.COMPARISON,
            f"{OTHER[kind]}, not {kind}",
            replace(right, program=comparing(right.program, OTHER[kind])),
        )
    for number, link in enumerate(right.links):
        for delay in range(-1, link.delay + MORE_DELAY + 1):
            if delay != link.delay:
                text = f"{link.source} arrives after {delay} steps, not {link.delay}"
                yield groups.DELAY, text, _linked(right, number, replace(link, delay=delay))
    yield from _other_resets(right)
    yield groups.WIDTH, "registers do not end", replace(right, width=False)
    yield groups.ROUNDING, "nothing is cut to integers", replace(right, rounding=False)
    for name, cause in DECAYS.items():
        if name in right.params:
            yield from _other_decays(right, wires, wanted, name, cause)
    yield from _flipped_weights(right, connections, wires, wanted, first)


def _other_resets(right: Layer) -> Iterator[tuple[str, str, Layer]]:
    """The same neuron with another reset: to 0, by the threshold, or none."""
    if not right.program.semantics.startswith(("loihi.cuba_lif", "loihi2.lif")):
        return
    p = right.params
    level = p["threshold"] if "threshold" in p else p["vth"] * 2.0**INPUT_SHIFT
    for reset in RESETS:
        program = chip_lif(Features(reset=reset, full_width=reset == "value"))
        known = {"threshold": level, "reset_value": np.zeros(()), "reset_amount": level, **p}
        if _same_states(program, right.program):
            params = {name: known[name] for name in program.params}
            yield groups.RESET, f"reset {reset}", replace(right, program=program, params=params)


def _same_states(a: StepProgram, b: StepProgram) -> bool:
    return [s.name for s in a.states] == [s.name for s in b.states]


def _other_decays(
    right: Layer, wires: Wires, wanted: _Wanted, name: str, cause: str
) -> Iterator[tuple[str, str, Layer]]:
    """Every value of a decay register, tried on the busiest neuron at once; those that fit it, on the layer."""
    neuron = int(np.abs(wanted.membrane).sum(axis=(0, 1)).argmax())
    tried = np.arange(-1.0, 4097.0)
    one = _copies(right, neuron, tried.size)
    found = replace(one, params={**one.params, name: tried})
    sent, membrane = forced(found, wires)
    fits = (membrane == wanted.membrane[:, :, [neuron]]) & (sent == wanted.sent[:, :, [neuron]])
    for value in tried[fits.all(axis=(0, 1))]:
        text = f"{name} is {value:g}, not {float(np.ravel(right.params[name])[0]):g}"
        yield cause, text, replace(right, params={**right.params, name: np.asarray(value)})


def _copies(layer: Layer, neuron: int, count: int) -> Layer:
    """``count`` copies of one neuron of ``layer``, all with its parameters."""

    def own(values: Any) -> Any:
        return values if np.ndim(values) == 0 else values[neuron]

    links = tuple(replace(k, matrix=k.matrix[[neuron] * count]) for k in layer.links)
    params = {name: np.asarray(own(v)) for name, v in layer.params.items()}
    initial = {name: np.asarray(own(v)) for name, v in layer.initial.items()}
    return replace(layer, neurons=count, params=params, initial=initial, links=links, unit=own(layer.unit))


def _flipped_weights(
    right: Layer,
    connections: Sequence[Connection],
    wires: Wires,
    wanted: _Wanted,
    first: tuple[Difference, int],
) -> Iterator[tuple[str, str, Layer]]:
    """One bit of one weight into the neuron that differs first, of all that spoke to it by then."""
    difference, neuron = first
    for number, link in enumerate(right.links):
        row = link.matrix[[neuron]].toarray()[0]
        spoke = wires[link.source][difference.sample, : difference.step + 1].any(axis=0)
        places = [(j, bit) for j in np.flatnonzero(spoke & (row != 0)).tolist() for bit in range(WEIGHT_BITS)]
        if not places or len(places) > TRIED:
            continue
        others = np.array([_flipped(row[j], bit) for j, bit in places])
        fitting = _fitting(right, (number, link), neuron, wires, wanted, ([j for j, _ in places], others))
        for k in fitting:
            j, bit = places[k]
            text = f"{link.source} {j} to {neuron}: {others[k]:g}, not {row[j]:g}, bit {bit} flipped"
            for matrix in _reweighted(connections[number].synapse, (neuron, j), row[j], others[k]):
                yield groups.WEIGHTS, text, _linked(right, number, replace(link, matrix=matrix))


def _reweighted(synapse: ChipSynapse, place: tuple[int, int], old: float, new: float) -> Iterator[Matrix]:
    """The synapse's matrix with the weight at ``place`` (target, source) changed, wherever else the kernel uses it."""
    if not isinstance(synapse, ConvSynapse):
        matrix = synapse_matrix(synapse).astype(np.float64).tolil()
        matrix[place] = new
        yield matrix.tocsr()
        return
    channel = place[0] // size(synapse.out_shape[1:])
    for tap in np.argwhere(synapse.weight[channel] == old):
        weight = synapse.weight.copy()
        weight[(channel, *tap)] = int(new)
        matrix = synapse_matrix(replace(synapse, weight=weight)).astype(np.float64)
        if matrix[place] == new:
            yield matrix


def _fitting(
    right: Layer,
    link: tuple[int, Link],
    neuron: int,
    wires: Wires,
    wanted: _Wanted,
    tried: tuple[list[int], Values],
) -> list[int]:
    """Which of the ``tried`` weights (columns, values) give what the neuron gave."""
    number, one = link
    columns, values = tried
    copies = _copies(right, neuron, values.size)
    matrix = copies.links[number].matrix.tolil()
    matrix[np.arange(values.size), columns] = values
    sent, membrane = forced(_linked(copies, number, replace(one, matrix=matrix.tocsr())), wires)
    fits = (membrane == wanted.membrane[:, :, [neuron]]) & (sent == wanted.sent[:, :, [neuron]])
    return [int(k) for k in np.flatnonzero(fits.all(axis=(0, 1)))]


def _flipped(weight: float, bit: int) -> float:
    """``weight`` with one bit of its 9-bit two's complement flipped."""
    raw = (int(weight) & 0x1FF) ^ (1 << bit)
    return float(raw - 0x200 if raw & 0x100 else raw)


def _linked(layer: Layer, number: int, link: Link) -> Layer:
    links = tuple(link if k == number else one for k, one in enumerate(layer.links))
    return replace(layer, links=links)
