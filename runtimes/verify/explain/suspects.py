"""Layers whose registers are not the nearest to their exact values: faults, or roundings chosen otherwise.

The chip network is run beside one whose every register is the nearest to its exact value. What differs between these
two is not rounding, so that a wrong register shows from the first membrane it changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.chip import ChipNetwork, Connection
from ranvier.compiler.ir.matrix import Matrix
from ranvier.compiler.ir.programs import BIAS_MANTISSA_MAX, DECAY_UNITY, INPUT_SHIFT, STATE_MAX, VTH_MAX
from ranvier.compiler.ir.weight_levels import weight_levels
from ranvier.runtimes.verify.compare import first_spot
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.arithmetic import comparing, same_structure
from ranvier.runtimes.verify.explain.bench import Bench, active
from ranvier.runtimes.verify.explain.engine import Ran, Wires, forced, run
from ranvier.runtimes.verify.explain.layers import Exact, Pair, Parts, mixed, pairs_of_chips
from ranvier.runtimes.verify.explain.results import Departure, Suspect
from ranvier.runtimes.verify.explain.views import Frame, difference
from ranvier.runtimes.verify.results import Difference

Values = NDArray[Any]
SLACK = 1e-6
FEW = 3
REGISTER_ENDS: Mapping[str, tuple[float, float]] = {
    "du": (-1.0, DECAY_UNITY - 1.0),
    "dv": (0.0, float(DECAY_UNITY)),
    "vth": (0.0, float(VTH_MAX)),
}
"""What registers hold; all others 24 bits."""


def suspects_of(bench: Bench, reference: ChipNetwork | None = None) -> tuple[Suspect, ...]:
    """The layers of the chip network that are not the nearest to their exact values, each with what it changes.

    With ``reference``, a chip network of the same structure, its registers take the place of the nearest ones.
    """
    pairs = {name: nearest_pair(pair) for name, pair in bench.pairs.items()}
    if reference is not None:
        known = {pair.name: pair for pair in pairs_of_chips(reference, bench.chip)}
        pairs = {name: known[name] for name in pairs}
    doubtful = {name: active(pair) for name, pair in pairs.items()}
    if not any(doubtful.values()):
        return ()
    layers = [mixed(pair, groups.EVERYTHING) for pair in pairs.values()]
    frames = bench.frames(exact=False)
    expected = run(layers, bench.port, frames, [name for name, names in doubtful.items() if names])
    wires = {**expected.sent, bench.port: frames}
    return tuple(_suspect(bench.frame, pairs[n], names, expected, wires) for n, names in doubtful.items() if names)


def nearest_pair(pair: Pair) -> Pair:
    """``pair`` with the nearest registers as its exact side."""
    return replace(pair, exact=_nearest(pair))


def _suspect(frame: Frame, pair: Pair, names: tuple[str, ...], expected: Ran, wires: Wires) -> Suspect:
    name = pair.name
    wanted = expected.sent[name], expected.membrane[name]
    first = _first(frame, name, wanted, forced(mixed(pair, groups.NOTHING), wires))

    def explains(exact: Exact) -> bool:
        return _first(frame, name, wanted, forced(mixed(pair, exact), wires)) is None

    found = tuple(_departure(pair, group, first is not None and explains(frozenset({group}))) for group in names)
    alone = [d.approximation for d in found if d.explains]
    cause: tuple[str, ...] = ()
    if first is not None:
        cause = (alone[0],) if alone else _needed(names, explains)
    return Suspect(name, found, first, cause)


def _needed(names: Sequence[str], explains: Any) -> tuple[str, ...]:
    """``names`` without those that are not needed to remove all differences."""
    kept = list(names)
    for name in names:
        rest = frozenset(kept) - {name}
        if rest and explains(rest):
            kept.remove(name)
    return tuple(kept)


def _first(frame: Frame, layer: str, wanted: tuple[Values, Values], got: tuple[Values, Values]) -> Difference | None:
    """The first membrane, or else spike, in which a layer is not as ``wanted``."""
    sent, membranes = (wanted[0], got[0]), (wanted[1], got[1])
    spots = [(first_spot(membranes[0] != membranes[1]), "membrane"), (first_spot(sent[0] != sent[1]), "spikes")]
    known = [(spot[1], quantity, spot) for spot, quantity in spots if spot is not None]
    if not known:
        return None
    _, quantity, spot = min(known, key=lambda k: (k[0], k[1] != "membrane"))
    return difference(frame, layer, quantity, spot, sent, membranes)


def _nearest(pair: Pair) -> Parts:
    """The deployed parts with every register moved to the nearest of its exact value; kept where it is already."""
    exact, deployed = pair.exact, pair.deployed
    program = comparing(deployed.program, pair.expected)
    if not same_structure(deployed.program, exact.program):
        program = comparing(exact.program, pair.expected)
    params = {}
    for name in program.params:
        if name not in exact.params:
            params[name] = deployed.params[name]
            continue
        wanted = _wanted(pair, name)
        params[name] = _moved(wanted, _given(deployed, name, wanted), _tolerance(name, wanted))
    initial = {}
    for state in program.states:
        wanted = _in_chip_units(pair, exact.initial.get(state.name, np.zeros(())))
        initial[state.name] = _moved(wanted, deployed.initial.get(state.name, np.rint(wanted)), np.asarray(0.5))
    weights = {c.name: _moved_weights(pair, c) for c in pair.connections}
    return replace(deployed, program=program, params=params, initial=initial, weights=weights, delays=exact.delays,
                   compare=pair.expected)  # fmt: skip


def _given(deployed: Parts, name: str, wanted: Values) -> Values:
    """The deployed register ``name``; a threshold that is held in the other form counts as well."""
    params = deployed.params
    if name in params:
        return params[name]
    if name == "vth" and "threshold" in params:
        return params["threshold"] / 2.0**INPUT_SHIFT
    if name == "threshold" and "vth" in params:
        return params["vth"] * 2.0**INPUT_SHIFT
    return np.asarray(np.rint(wanted))


def _in_chip_units(pair: Pair, values: Values) -> Values:
    return np.asarray(values * (pair.deployed.unit / pair.exact.unit))


def _wanted(pair: Pair, name: str) -> Values:
    """The exact value of a register in the chip's units, within what the register holds."""
    value = pair.exact.params[name]
    value = _in_chip_units(pair, value) if groups.is_level(name, pair.model) else value
    low, high = REGISTER_ENDS.get(name, (-float(STATE_MAX), float(STATE_MAX)))
    return np.asarray(np.clip(value, low, high))


def _tolerance(name: str, wanted: Values) -> Values:
    """How far the register may be from its exact value: half a step; a whole one where equality decides the side."""
    if name in ("vth", "threshold"):
        return np.asarray(1.0)
    if name in ("bias", "drive", "current_drive"):
        return np.asarray(0.5 * 2.0 ** np.ceil(np.log2(np.maximum(np.abs(wanted) / BIAS_MANTISSA_MAX, 1.0))))
    return np.asarray(0.5)


def _moved(wanted: Values, deployed: Values, tolerance: Values) -> Values:
    """``deployed`` where it is within ``tolerance`` of ``wanted``, else the whole number nearest to that."""
    step = np.maximum(1.0, 2.0 * tolerance)
    near = np.abs(deployed - wanted) <= tolerance + SLACK
    return np.asarray(np.where(near, deployed, np.rint(wanted / step) * step))


def _moved_weights(pair: Pair, c: Connection) -> Matrix:
    wanted, deployed = _wanted_weights(pair, c.name), pair.deployed.weights[c.name]
    levels, away = weight_levels(c.bits, c.sign), abs(deployed - wanted)
    rows, columns = (away - _rescaled(pair) * abs(wanted) > 0.5 * levels.step + SLACK).nonzero()
    if not rows.size or c.bits == 1:  # where the two levels of one bit part is not where the nearest would
        return deployed
    values = levels.nearest(_at(wanted, rows, columns))
    change = values - _at(deployed, rows, columns)
    return sparse.csr_array(deployed + sparse.coo_array((change, (rows, columns)), shape=deployed.shape))


def _rescaled(pair: Pair) -> float:
    """By how much of a weight its rounding may be off: a scale may be moved after it, to where the threshold lands."""
    mantissa = _given(pair.deployed, "vth", np.zeros(()))
    return 1.0 / max(1.0, float(np.min(np.abs(mantissa)))) + SLACK


def _wanted_weights(pair: Pair, name: str) -> Matrix:
    """Exact mantissas in the chip's units."""
    factor = np.asarray(pair.deployed.unit / pair.exact.unit, np.float64)
    matrix = pair.exact.weights[name]
    return sparse.csr_array(sparse.diags_array(factor) @ matrix) if factor.ndim else matrix * float(factor)


def _at(matrix: Matrix, rows: Values, columns: Values) -> Values:
    return np.asarray(sparse.csr_array(matrix)[rows, columns], np.float64).reshape(-1)


def _departure(pair: Pair, group: str, explains: bool) -> Departure:
    """How far the registers of ``group`` are from the nearest, in steps of their grids."""
    if group == groups.WEIGHTS:
        return _weight_departure(pair, explains)
    one, other = pair.exact, pair.deployed
    examples: list[str] = []
    count, worst = 0, 0.0
    if group == groups.DELAY:
        off = [(c, other.delays[c] - one.delays[c]) for c in one.delays if other.delays[c] != one.delays[c]]
        examples = [f"{c}: {other.delays[c]} steps, not {one.delays[c]}" for c, _ in off]
        count, worst = len(off), float(max((abs(d) for _, d in off), default=0))
    elif group == groups.COMPARISON:
        return Departure(group, 1, 1, 1.0, (f"{other.compare}, not {pair.expected}",), explains)
    for name, value in one.params.items():
        if groups.parameter_group(name, pair.model) == group:
            given = other.params.get(name)
            far = np.inf if given is None else np.abs(given - value) / _register_step(name, value)
            count += int(np.count_nonzero(far))
            worst = max(worst, float(np.max(far)))
            if np.any(far):
                examples.append(f"{name}: {_shown(given)}, not {_shown(value)}")
    if group == groups.RESET and not same_structure(one.program, other.program):
        examples.append(f"the step is {other.program.semantics}, not {one.program.semantics}")
        count, worst = count + 1, np.inf
    for state, value in one.initial.items():
        if groups.state_group(state, pair.model) == group and np.any(other.initial.get(state, value) != value):
            count, examples = count + 1, [*examples, f"{state} starts at {_shown(other.initial[state])}"]
            worst = max(worst, float(np.max(np.abs(other.initial[state] - value))))
    return Departure(group, count, count if worst > 1.0 + SLACK else 0, worst, tuple(examples[:FEW]), explains)


def _register_step(name: str, value: Values) -> Values:
    return np.asarray(np.maximum(1.0, 2.0 * _tolerance(name, value))) if "bias" in name else np.ones(())


def _weight_departure(pair: Pair, explains: bool) -> Departure:
    count, beyond, worst = 0, 0, 0.0
    examples: list[str] = []
    for c in pair.connections:
        one, other = pair.exact.weights[c.name], pair.deployed.weights[c.name]
        rows, columns = (one != other).nonzero()
        if not rows.size:
            continue
        given, near = _at(other, rows, columns), _at(one, rows, columns)
        away = np.abs(given - near) / weight_levels(c.bits, c.sign).step
        count, beyond = count + rows.size, beyond + int(np.count_nonzero(away > 1.0 + SLACK))
        worst = max(worst, float(away.max()))
        for k in range(min(FEW, rows.size)):
            bits = int(given[k]) ^ int(near[k])
            flip = f", bit {bits.bit_length() - 1} flipped" if bits > 0 and bits & (bits - 1) == 0 else ""
            examples.append(f"{c.name} {int(columns[k])} to {int(rows[k])}: {given[k]:g}, not {near[k]:g}{flip}")
    return Departure(groups.WEIGHTS, count, beyond, worst, tuple(examples[:FEW]), explains)


def _shown(value: Values | None) -> str:
    if value is None:
        return "none"
    if np.ndim(value) == 0:
        return f"{float(value):g}"
    return f"{np.size(value)} values from {np.min(value):g} to {np.max(value):g}"
