"""A population as something to run, made of parts that are each exact or as deployed.

The exact parts come from the float network: what each register would be if registers took any real number. The
deployed parts are the chip network's own. Where rounding or registers that end are kept, a layer runs in the chip's
units; where neither is, in the source's, so that thresholds met exactly stay met exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.arrays import floats
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, ChipNetwork, Connection, Population, SparseSynapse
from ranvier.compiler.ir.linear import SYNAPSES
from ranvier.compiler.ir.matrix import Matrix, linear_matrix, synapse_matrix
from ranvier.compiler.ir.models import FORMS, multipliers
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import NUMERIC, GradedLif, Lif, Quantizer, RegisterLif, SigmaDelta
from ranvier.compiler.ir.programs import CUBA_REFRACTORY, DECAY_UNITY, INPUT_SHIFT, Features, chip_features, chip_lif
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.units import message_scale, sent_units
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.arithmetic import OTHER, comparing, comparison, same_structure

Values = NDArray[Any]
Exact = frozenset[str]
KINDS: Mapping[str, str] = {">": "gt", ">=": "ge"}
UNIT = 2.0**INPUT_SHIFT
Payloads = Mapping[str, Values]
"""Integers on the wire per unit of the source, () or (neurons,), of the senders of numbers."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a population computes with, levels and weights in units of its own ``unit`` (chip units per unit).

    ``weights`` per connection (targets, sources) are mantissas per integer sent; ``delays`` are in network steps.
    ``compare``: the comparison that belongs to this threshold. ``rounding`` and ``width``: whether its arithmetic
    loses.
    """

    program: StepProgram
    params: Mapping[str, Values]
    initial: Mapping[str, Values]
    weights: Mapping[str, Matrix]
    delays: Mapping[str, int]
    compare: str | None
    unit: Values | float
    rounding: bool
    width: bool


@dataclass(frozen=True, eq=False)
class Link:
    """Synapses into a layer: ``matrix`` (targets, sources) on what ``source`` sent ``delay`` network steps before."""

    source: str
    matrix: Matrix
    delay: int
    exponent: int
    bits: int


@dataclass(frozen=True, eq=False)
class Layer:
    """A population ready to run in units of which ``unit`` make one of the source; parameters () or (neurons,).

    What its program sends, times ``sends`` if that is given, is what the wire carries: in the chip's integers.
    """

    name: str
    neurons: int
    latency: int
    program: StepProgram
    params: Mapping[str, Values]
    initial: Mapping[str, Values]
    links: tuple[Link, ...]
    rounding: bool
    width: bool
    unit: Values | float
    sends: Values | None


@dataclass(frozen=True, eq=False)
class Pair:
    """One population twice: ``exact`` parts and ``deployed`` ones.

    ``expected`` is the comparison that a faithful deployment has; ``model`` the source's neurons (None: both are
    chip networks); ``payloads``: integers on the wire per unit, by sender, 1 where it is not in it.
    """

    population: Population
    connections: tuple[Connection, ...]
    exact: Parts
    deployed: Parts
    expected: str | None
    model: object
    payloads: Payloads = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The population's name."""
        return self.population.name


def pairs_with_source(chip: ChipNetwork, source: Network) -> tuple[Pair, ...]:
    """Every population of ``chip`` beside that of the folded float network ``source`` from which it was made."""
    payloads = _payloads(chip, source)
    found = []
    for p in chip.populations:
        node = source.by_name[p.name]
        assert isinstance(node, Neurons)
        node = _gained(node, p)
        expected = _expected(node, p)
        exact = _exact(chip, p, source, node, expected, payloads)
        found.append(
            Pair(p, chip.into[p.name], exact, deployed_parts(chip, p), comparison(expected), node.model, payloads)
        )
    return tuple(found)


def pairs_of_chips(reference: ChipNetwork, deployed: ChipNetwork) -> tuple[Pair, ...]:
    """Every population of ``deployed`` beside that of the same name in ``reference``: equal in structure."""
    found = []
    for p in deployed.populations:
        other = reference.by_name[p.name]
        assert isinstance(other, Population)
        parts = deployed_parts(reference, other)
        found.append(Pair(p, deployed.into[p.name], parts, deployed_parts(deployed, p), parts.compare, None))
    return tuple(found)


def deployed_parts(chip: ChipNetwork, p: Population) -> Parts:
    """The chip network's own parts, in its units."""
    return Parts(
        p.program,
        {name: value.astype(np.float64) for name, value in p.params.items()},
        {name: value.astype(np.float64) for name, value in p.initial.items()},
        {c.name: synapse_matrix(c.synapse).astype(np.float64) for c in chip.into[p.name]},
        {c.name: chip.network_delay(c) for c in chip.into[p.name]},
        comparison(p.program),
        units(p),
        rounding=True,
        width=True,
    )


def units(p: Population) -> Values | float:
    """Membrane units of the chip per unit of the source: () or (neurons,)."""
    unit = np.asarray(p.scale * p.gain, np.float64)
    return unit if unit.ndim else float(unit)


def mixed(pair: Pair, exact: Exact) -> Layer:
    """The layer with the parts in ``exact`` exact, the others as deployed."""
    one, other = pair.exact, pair.deployed
    rounding = one.rounding if groups.ROUNDING in exact else other.rounding
    width = one.width if groups.WIDTH in exact else other.width
    program = _program(pair, exact)
    in_chip_units = rounding or width or _counts_units(program)
    unit = other.unit if in_chip_units else 1.0
    params = {}
    for name in program.params:
        group = groups.parameter_group(name, pair.model)
        chosen = one if name in one.params and (group in exact or name not in other.params) else other
        level = groups.is_level(name, pair.model)
        if group == groups.WIDTH and group in exact and name not in one.params:
            params[name] = np.asarray(np.inf if name.endswith("_most") else -np.inf)
        else:
            params[name] = chosen.params[name] * _rate(unit, chosen.unit) if level else chosen.params[name]
    initial = {}
    for state in program.states:
        chosen = one if groups.state_group(state.name, pair.model) in exact else other
        initial[state.name] = chosen.initial.get(state.name, np.zeros(())) * _rate(unit, chosen.unit)
    return Layer(
        pair.name,
        pair.population.size,
        pair.population.latency,
        program,
        params,
        initial,
        tuple(_link(pair, c, exact, unit) for c in pair.connections),
        rounding,
        width,
        unit,
        None if in_chip_units or pair.name not in pair.payloads else np.asarray(other.unit),
    )


def _counts_units(program: StepProgram) -> bool:
    """Whether a level is compared with a literal number other than 0, which means units of the chip."""
    return any(op.kind == "maximum" and any(not isinstance(a, str) and a != 0 for a in op.args) for op in program.ops)


def _rate(unit: Values | float, own: Values | float) -> Values | float:
    """What turns values in units of ``own`` into units of ``unit``: exactly 1 where they are the same."""
    return 1.0 if unit is own else unit / own


def _link(pair: Pair, c: Connection, exact: Exact, unit: Values | float) -> Link:
    chosen = pair.exact if groups.WEIGHTS in exact else pair.deployed
    delays = pair.exact.delays if groups.DELAY in exact else pair.deployed.delays
    factor = _rate(unit, chosen.unit)
    matrix = chosen.weights[c.name]
    if isinstance(factor, np.ndarray) and factor.ndim:
        matrix = sparse.csr_array(sparse.diags_array(factor) @ matrix)
    elif float(factor) != 1.0:
        matrix = matrix * float(factor)
    return Link(c.source, matrix, delays[c.name], c.exponent, ACCUMULATOR_BITS[c.synapse.kind])


def _program(pair: Pair, exact: Exact) -> StepProgram:
    """The step program with the structure, and the comparison, that ``exact`` asks for."""
    base = pair.deployed.program
    if groups.RESET in exact and not same_structure(base, pair.exact.program):
        base = pair.exact.program
    kind = pair.exact.compare if groups.THRESHOLD in exact else pair.expected
    faulty = pair.deployed.compare != pair.expected
    if faulty and kind is not None and groups.COMPARISON not in exact:
        kind = OTHER[kind]
    return comparing(base, kind)


def _gained(node: Neurons, p: Population) -> Neurons:
    """``node`` with the factor by which its channels multiply what arrives, whose weights are larger by as much."""
    if not isinstance(node.model, GradedLif) or "gain" not in p.params:
        return node
    return replace(node, model=replace(node.model, gain=floats(p.params["gain"] / DECAY_UNITY)))


def _expected(node: Neurons, p: Population) -> StepProgram:
    """The step program that a faithful deployment of ``node`` has."""
    model = node.model
    if isinstance(model, RegisterLif):
        return chip_lif(Features())
    if isinstance(model, Lif):
        return chip_lif(replace(chip_features(model), wired=p.program.semantics == CUBA_REFRACTORY))
    if isinstance(model, SigmaDelta | GradedLif) and model.message_scale == 0.0:
        model = replace(model, message_scale=message_scale(p), message_bits=p.bits)
    return FORMS[type(model)].program(model, "int", p.scale)


def _exact(
    chip: ChipNetwork, p: Population, source: Network, node: Neurons, expected: StepProgram, payloads: Payloads
) -> Parts:
    model = node.model
    registers = isinstance(model, RegisterLif)
    unit = units(p) if registers else 1.0
    params, initial = EXACT.get(type(model), _formed)(model)
    compare = None
    if not registers and getattr(model, "max_spikes", 1) == 1 and hasattr(model, "compare"):
        compare = KINDS[model.compare]
    weights = {c.name: _exact_weights(source, c, payloads, registers) for c in chip.into[p.name]}
    if isinstance(model, GradedLif) and bool(np.any(model.gain != 1.0)):
        larger = sparse.diags_array(np.broadcast_to(1.0 / model.gain, (p.size,)))
        weights = {name: sparse.csr_array(larger @ matrix) for name, matrix in weights.items()}
    delays = {c.name: _source_delay(source, c.layer) for c in chip.into[p.name]}
    return Parts(
        expected,
        params,
        initial,
        weights,
        delays,
        compare or comparison(expected),
        unit,
        rounding=registers or isinstance(model, Quantizer),
        width=registers,
    )


def _exact_weights(source: Network, c: Connection, payloads: Payloads, registers: bool) -> Matrix:
    """Mantissas that no grid holds, in units of the source's membrane per integer sent."""
    op = source.by_name[c.layer]
    assert isinstance(op, SYNAPSES)
    shift = 1.0 if registers else UNIT
    matrix = linear_matrix(op) * (1.0 / (shift * 2.0**c.exponent))
    if c.part_of and isinstance(c.synapse, SparseSynapse):
        held = np.bincount(c.synapse.indices, minlength=matrix.shape[1]) > 0
        matrix = sparse.csr_array(matrix @ sparse.diags_array(held.astype(np.float64)))
    if c.source not in payloads:
        return matrix
    per_integer = np.broadcast_to(1.0 / payloads[c.source], (matrix.shape[1],))
    return sparse.csr_array(matrix @ sparse.diags_array(per_integer))


def _source_delay(source: Network, synapse: str) -> int:
    """The delay of a folded network's synapse in network steps."""
    return source.into[synapse][0].delay + source.out_of[synapse][0].delay


def _payloads(chip: ChipNetwork, source: Network) -> dict[str, Values]:
    found = {port.name: np.asarray(port.scale) for port in chip.ports if port.bits}
    for p in chip.populations:
        node = source.by_name[p.name]
        if isinstance(node, Neurons) and isinstance(node.model, NUMERIC):
            found[p.name] = sent_units(p, node.model)
    return found


def _lif(model: Any) -> tuple[dict[str, Values], dict[str, Values]]:
    """Registers and initial states of ``Lif`` as ``fit_lif`` has them, not rounded, in units of the source.

    A constant b that enters a current which keeps a is the bias ``b / (1 - a)`` and a current that starts at its
    negative.
    """
    settled = np.zeros(())
    if np.any(model.current_drive):
        settled = np.asarray(model.current_drive / (1.0 - np.minimum(model.keep_current, 1.0 - 1e-12)))
    params = {
        "du": DECAY_UNITY - 1 - DECAY_UNITY * model.keep_current,
        "dv": DECAY_UNITY - DECAY_UNITY * model.keep_membrane,
        "vth": model.threshold / UNIT,
        "threshold": model.threshold,
        "bias": model.drive + settled,
        "reset_value": model.reset_value,
        "reset_amount": model.reset_amount,
        "floor": np.asarray(-np.inf if model.floor is None else model.floor),
        "refractory": np.asarray(float(model.refractory)),
    }
    started = -settled if model.has_current else np.zeros(())
    return {k: np.asarray(v, np.float64) for k, v in params.items()}, {"u": started, "v": np.asarray(model.initial)}


def _registers(model: Any) -> tuple[dict[str, Values], dict[str, Values]]:
    return {name: getattr(model, name).astype(np.float64) for name in ("du", "dv", "vth", "bias")}, {}


def _formed(model: Any) -> tuple[dict[str, Values], dict[str, Values]]:
    form, apart = FORMS[type(model)], multipliers(model)
    program = form.program(model, "float", 1.0)
    factors = {name: float(DECAY_UNITY) if name in apart else 1.0 for name in program.params}
    params = {name: np.asarray(getattr(model, name) * factor) for name, factor in factors.items()}
    return params, {state: np.asarray(getattr(model, name)) for state, name in form.start.items()}


EXACT = {Lif: _lif, RegisterLif: _registers}
