"""From the polynomials of a membrane in successive steps to the parameters of a leaky integrate-and-fire neuron.

With h(t) the membrane at the threshold and s(t) the spikes, an unrolled neuron reads

    h(t) = a h(t-1) + r s(t-1) + q s(t-1) h(t-1) + sum over lags j of k b**j x(t-j) + c

so a is the membrane's decay, b that of a synaptic current, k the gain; q = 0 is a reset by subtracting -r / a, q = -a
one to the value r / a. Everything may differ from neuron to neuron.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.onnx.alpha import NotAlphaError, is_alpha, read_alpha
from ranvier.frontends.onnx.model import Array
from ranvier.frontends.onnx.populations import Described, Describer, Population
from ranvier.frontends.onnx.signal import Atom, Space, Term

CLOSE = 2e-5
Families = dict[Any, dict[int | None, tuple[Array, Described]]]


class NotLifError(ValueError):
    """The polynomials are those of another neuron."""


@dataclass(eq=False)
class Parts:
    """One step of one population, taken apart; coefficients are flat arrays (neurons,)."""

    keep: Array
    spiked: Array
    gate: Array
    constant: Array
    floor: Array | None
    inputs: list[tuple[Array, Array]] = field(default_factory=list)
    gated: list[tuple[Array, Array]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Source:
    """What enters a population: ``described`` as a layer would see it, ``delay`` steps late, times ``factor``."""

    described: Described
    delay: int
    factor: Array


@dataclass(frozen=True, eq=False)
class Fitted:
    """A population understood."""

    model: Lif
    sources: tuple[Source, ...]


def _no_parts(constant: Array) -> Parts:
    zeros = np.zeros(constant.size)
    return Parts(zeros, zeros, zeros, constant, None)


def take_apart(space: Space, population: Population, step: int) -> Parts:
    """The terms of step ``step`` sorted into the membrane's own and its inputs."""
    value = population.membranes[step].value
    assert value is not None
    parts = _no_parts(np.array(value.constant, np.float64).ravel())
    membrane = population.membranes[step - 1] if step else None
    spikes = population.spikes[step - 1] if step else None
    for term in value.terms:
        coefficient = np.broadcast_to(term.coefficient, value.shape).ravel()
        atoms = [space.exactly(f) for f in term.factors]
        lifted = next((a for a in atoms if a is not None and a.kind == "lifted"), None)
        if lifted is not None and len(atoms) == 1:
            _lifted(space, parts, lifted, coefficient, (membrane, spikes))
        else:
            _sort(parts, term, atoms, coefficient, (membrane, spikes))
    return parts


def _sort(
    parts: Parts, term: Term, atoms: Sequence[Atom | None], coefficient: Array, own: tuple[Atom | None, Atom | None]
) -> None:
    membrane, spikes = own
    rest = [f for f, a in zip(term.factors, atoms, strict=True) if a is None or a not in (membrane, spikes)]
    has_membrane = membrane is not None and membrane in atoms
    has_spikes = spikes is not None and spikes in atoms
    if len(rest) == 1 and not has_membrane:
        (parts.gated if has_spikes else parts.inputs).append((rest[0], coefficient))
    elif rest:
        raise NotLifError("its inputs are multiplied with its membrane or with each other")
    elif has_membrane and has_spikes:
        parts.gate = parts.gate + coefficient
    elif has_membrane:
        parts.keep = parts.keep + coefficient
    else:
        parts.spiked = parts.spiked + coefficient


def _lifted(space: Space, parts: Parts, lifted: Atom, coefficient: Array, own: tuple[Atom | None, Atom | None]) -> None:
    """The membrane after its reset is never below a floor: max(v, floor) = lifted + floor."""
    assert lifted.value is not None
    inner = _no_parts(lifted.value.constant.ravel())
    for term in lifted.value.terms:
        atoms = [space.exactly(f) for f in term.factors]
        _sort(inner, term, atoms, np.broadcast_to(term.coefficient, lifted.value.shape).ravel(), own)
    if inner.inputs or inner.gated or parts.floor is not None or not _close(inner.keep, np.ones(())):
        raise NotLifError("a lower bound acts on more than its membrane")
    floor = -inner.constant
    parts.floor = floor
    parts.keep = parts.keep + coefficient
    parts.spiked = parts.spiked + coefficient * inner.spiked
    parts.gate = parts.gate + coefficient * inner.gate
    parts.constant = parts.constant - coefficient * floor


def fit(space: Space, population: Population, describer: Describer, offsets: Callable[[Described], Array]) -> Fitted:
    """The neuron and its sources; ``NotLifError`` where the polynomials are those of another neuron."""
    if is_alpha(space, population):
        return _alpha(space, population, describer)
    steps = len(population.membranes)
    all_parts = [take_apart(space, population, t) for t in range(steps)]
    last = all_parts[-1]
    families = _families(last, describer)
    _check_steady(all_parts, families, describer)
    held = _held(last)
    decay, sources = _kernels(families, all_parts, describer)
    gain, scaled = _gain(sources)
    drive, current, start = _constants(all_parts, decay, sources, offsets)
    spikes = population.spikes[-1]
    if population.relay:
        return Fitted(Lif(keep_membrane=np.zeros(()), threshold=np.array(0.5)), scaled)
    reset: dict[str, Any] = {"reset": "value", "refractory": 1} if held else _reset(last)
    n = last.constant.size
    if last.floor is not None and not _close(last.floor, last.floor[:1]):
        raise NotLifError("its lower bound differs from neuron to neuron")
    model = Lif(
        keep_current=decay,
        keep_membrane=last.keep,
        gain=gain,
        drive=drive,
        current_drive=_quotient(current, gain),
        threshold=np.broadcast_to(spikes.threshold, spikes.shape).ravel()
        if np.ndim(spikes.threshold)
        else spikes.threshold,
        compare=">" if spikes.strict else ">=",
        max_spikes=spikes.limit,
        floor=None if last.floor is None else float(last.floor[0]),
        initial=start if start.size == n else np.zeros(()),
        **reset,
    )
    return Fitted(model, scaled)


def _alpha(space: Space, population: Population, describer: Describer) -> Fitted:
    try:
        found = read_alpha(space, population, describer)
    except NotAlphaError as problem:
        raise NotLifError(str(problem)) from None
    sources = []
    for elements, factor in found.inputs:
        described = describer.factor(elements)
        late = 0 if described.step is None else len(population.membranes) - 1 - described.step
        sources.append(Source(described, late, factor))
    return Fitted(found.model, tuple(sources))


def _check_steady(all_parts: Sequence[Parts], families: Families, describer: Describer) -> None:
    """Prove that every step but the first, which has nothing before it, is the last one moved back in time."""
    last, final = all_parts[-1], len(all_parts) - 1
    for t, parts in enumerate(all_parts[1:-1], 1):
        same = ("keep", "spiked", "gate") if not parts.gated else ("keep", "gate")
        if not all(_close(getattr(parts, name), getattr(last, name)) for name in same):
            raise NotLifError(f"its leak or reset in step {t} is not that of the last step")
        for key, sent in _families(parts, describer).items():
            for step, (coefficient, _) in sent.items():
                then = None if step is None else step + final - t
                known = families.get(key, {}).get(then)
                if step is not None and (known is None or not _close(coefficient, known[0])):
                    raise NotLifError(f"it is connected differently in step {t}")


def _close(x: Array, y: Array, scale: float = 1.0) -> bool:
    return bool(np.all(np.abs(x - y) <= CLOSE * np.maximum(scale, np.abs(y))))


def _quotient(x: Array, y: Array) -> Array:
    """``x / y`` where x is not 0."""
    return np.asarray(
        np.divide(x, y, out=np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y))), where=np.asarray(x) != 0)
    )


def _held(parts: Parts) -> bool:
    """Whether a spike blanks the whole next step: h(t) = (1 - s(t-1)) (...)."""
    if not parts.gated:
        return False
    plain = {f.tobytes(): c for f, c in parts.inputs}
    blanked = {f.tobytes(): c for f, c in parts.gated}
    same = plain.keys() == blanked.keys() and all(_close(blanked[f], -plain[f]) for f in plain)
    if not same or not _close(parts.gate, -parts.keep) or not _close(parts.spiked, -parts.constant):
        raise NotLifError("a spike acts on its inputs")
    return True


def _reset(parts: Parts) -> dict[str, Any]:
    if not np.any(parts.gate):
        if not np.any(parts.spiked):
            return {"reset": "none"}
        _need_leak(parts)
        return {"reset": "subtract", "reset_amount": _quotient(-parts.spiked, parts.keep)}
    _need_leak(parts)
    if not _close(parts.gate, -parts.keep):
        raise NotLifError("a spike scales its membrane")
    return {"reset": "value", "reset_value": _quotient(parts.spiked, parts.keep)}


def _need_leak(parts: Parts) -> None:
    if np.any((parts.keep == 0) & ((parts.spiked != 0) | (parts.gate != 0))):
        raise NotLifError("its membrane does not last, but its reset does (a decay of 0)")


def _families(parts: Parts, describer: Describer) -> Families:
    """Inputs by what they are, and by the step in which they were sent."""
    found: Families = {}
    for elements, coefficient in parts.inputs:
        described = describer.factor(elements)
        found.setdefault(described.key, {})[described.step] = (coefficient, described)
    return found


def _kernels(families: Families, all_parts: Sequence[Parts], describer: Describer) -> tuple[Array, list[Source]]:
    """The decay of the synaptic current and every source with its first coefficient."""
    step = len(all_parts) - 1
    decays: list[Array] = []
    sources = []
    early = (
        [_families(parts, describer) for parts in all_parts[:2]] if any(None in f for f in families.values()) else []
    )
    for key, sent in families.items():
        if None in sent:
            first, second = (e.get(key, {}).get(None) for e in early)
            if first is None or second is None:
                raise NotLifError("a constant input starts late")
            decays.append(_quotient(second[0] - first[0], first[0]))
            sources.append(Source(sent[None][1], 0, first[0]))
            continue
        lags = sorted(step - s for s in sent if s is not None)
        delay = lags[0]
        if delay < 0:
            raise NotLifError("it receives frames of later steps")
        coefficients = [sent[step - lag][0] for lag in lags]
        if lags != list(range(delay, step + 1)) and len(lags) > 1 and lags != list(range(delay, delay + len(lags))):
            raise NotLifError("its synaptic kernel has gaps")
        decays.append(_ratio(coefficients))
        sources.append(Source(sent[step - delay][1], delay, coefficients[0]))
    if not decays:
        raise NotLifError("nothing enters it")
    decay = decays[0]
    if any(not _close(d, decay) for d in decays[1:]):
        raise NotLifError("its inputs decay differently")
    return decay, sources


def _ratio(coefficients: Sequence[Array]) -> Array:
    if len(coefficients) == 1:
        return np.zeros(coefficients[0].shape)
    ratio = _quotient(coefficients[1], coefficients[0])
    for earlier, later in pairwise(coefficients):
        if not _close(later, earlier * ratio, float(np.max(np.abs(coefficients[0])))):
            raise NotLifError("its synaptic kernel is not one exponential")
    return ratio


def _gain(sources: Sequence[Source]) -> tuple[Array, tuple[Source, ...]]:
    """The common gain, and the sources with what is left of their factors."""
    gain = np.where(sources[0].factor == 0, 1.0, sources[0].factor)
    return gain, tuple(Source(s.described, s.delay, s.factor / gain) for s in sources)


def _constants(
    all_parts: Sequence[Parts], decay: Array, sources: Sequence[Source], offsets: Callable[[Described], Array]
) -> tuple[Array, Array, Array]:
    """(drive of the membrane, drive of the current times gain, membrane before the first step)."""
    values = []
    for t, parts in enumerate(all_parts[:3]):
        value = parts.constant
        for source in sources:
            offset = source.factor * offsets(source.described)
            for missing in range(min(source.delay, t + 1)):
                value = value - offset * decay ** (t - missing)
        values.append(value)
    first, second, third = values
    current = np.zeros(decay.shape)
    if np.any(decay):
        rise = third - second
        scale = max(float(np.max(np.abs(third))), 1e-12)
        current = np.where(np.abs(rise) > CLOSE * scale, _quotient(rise, np.where(decay == 0, np.inf, decay) ** 2), 0.0)
    drive = second - current * (1 + decay)
    left = first - drive - current
    keep = all_parts[-1].keep
    unit = max(float(np.max(np.abs(first))), float(np.max(np.abs(drive))), 1e-12)
    start = np.where(np.abs(left) > 1e-7 * unit, _quotient(left, np.where(keep == 0, 1.0, keep)), 0.0)
    return drive, current, start
