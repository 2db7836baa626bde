"""Loihi's neuron as SANA-FE's ``leaky_integrate_fire``, and what that cannot be.

SANA-FE counts membranes in threshold units of 64: its potential is ``v / 64``, its current ``u / 64``. It computes::

    p = trunc(64 p leak) / 64,  c = c decay,  c = c + a,  p = p + bias + c,  spike where p > threshold

in double precision. With ``leak = 1 - dv / 4096`` the membrane is exactly Loihi's. The current is not rounded, so it is
Loihi's exactly where it is forgotten within a step (``du = 4095``). Nothing wraps or saturates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.programs import CUBA_LIF, CUBA_REFRACTORY, DECAY_UNITY, INPUT_SHIFT

UNIT = 1 << INPUT_SHIFT
LARGEST = 2**31
"""SANA-FE holds 64 times a potential in 32 bits when it rounds it."""


@dataclass(frozen=True)
class Neurons:
    """The attributes of a population's neurons: (neurons,) values by SANA-FE's names, exact in double precision."""

    attributes: Mapping[str, tuple[float, ...]]
    notes: tuple[Note, ...]


def problems(population: Population) -> Iterator[Diagnostic]:
    """Why SANA-FE has no such neurons: RV441 (programmed), RV442 (graded), RV443 (states at the start, refractory)."""
    place, semantics = population.name, population.program.semantics
    if semantics not in (CUBA_LIF, CUBA_REFRACTORY):
        fix = "use plain leaky integrate-and-fire neurons that reset to 0 (compile for loihi1 to be told where not)"
        yield Diagnostic(
            "RV441", place, f"its neurons are programmed ({semantics}); SANA-FE has Loihi's LIF alone", fix
        )
        return
    if population.bits:
        text = f"it sends values of {population.bits} bits; SANA-FE's messages are spikes"
        yield Diagnostic("RV442", place, text, "let it send spikes")
    held = [state for state, value in population.initial.items() if state != "v" and np.any(value)]
    if held:
        text = f"its {', '.join(held)} start at other values than 0; SANA-FE sets potentials alone"
        yield Diagnostic("RV443", place, text, "take the bias behind the synaptic current away, or start at rest")
    if semantics == CUBA_REFRACTORY and np.any(population.params["du"] != DECAY_UNITY - 1):
        text = "while refractory, SANA-FE's currents take no input"
        yield Diagnostic("RV443", place, text, "use neurons without refractory time, or without synaptic current")
    start = _start(population)
    if start is None:
        text = f"its biases cannot be balanced over the {population.latency} steps before its first input arrives"
        yield Diagnostic("RV444", place, text, "take the biases away, or start every membrane at 0")


def described(population: Population) -> Neurons:
    """The neurons of a population that has no ``problems``."""
    start = _start(population)
    assert start is not None
    p = {key: np.broadcast_to(value, population.size) for key, value in population.params.items()}
    values: dict[str, tuple[float, ...]] = {
        "threshold": _numbers(p["vth"]),
        "reset": (0.0,) * population.size,
        "leak_decay": _numbers(1 - p["dv"] / DECAY_UNITY),
        "input_decay": _numbers(1 - (p["du"] + 1) / DECAY_UNITY),
        "bias": _numbers(p["bias"] / UNIT),
        "potential": _numbers(start / UNIT),
    }
    if population.program.semantics == CUBA_REFRACTORY:
        # SANA-FE counts the step of the spike, Loihi's program the steps after it.
        values["refractory_delay"] = _numbers(p["refractory"] + 1)
    notes = []
    if np.any(p["du"] != DECAY_UNITY - 1):
        text = "SANA-FE decays currents in double precision where Loihi truncates: single spikes may differ"
        notes.append(Note("RV448", population.name, text))
    return Neurons(values, tuple(notes))


def _start(population: Population) -> IntArray | None:
    """(neurons,) membranes from which SANA-FE, whose neurons run from its first step, arrives at the initial ones.

    A population is silent for ``latency`` steps in which its bias adds up. ``p = trunc(q leak) + bias`` is solved for
    q by the smallest such magnitude, step by step backwards; the very first step does not leak. None where a neuron
    would fire on the way, or a value leaves SANA-FE's range.
    """
    size, params = population.size, population.params
    bias, keep = (np.broadcast_to(v, size) for v in (params["bias"], DECAY_UNITY - params["dv"]))
    level = np.broadcast_to(params["vth"], size) << INPUT_SHIFT
    membrane = np.array(np.broadcast_to(population.initial["v"], size), np.int64)
    for step in range(population.latency, 0, -1):
        # A neuron that forgets its membrane within a step has its bias there, whatever it was before.
        membrane = np.where(keep == 0, bias, membrane)
        if np.any(membrane > level) or np.any(np.abs(membrane) >= LARGEST):
            return None
        before = membrane - bias
        if step > 1:
            before = np.sign(before) * -(-(np.abs(before) * DECAY_UNITY) // np.maximum(keep, 1))
        membrane = before
    return None if np.any(np.abs(membrane) >= LARGEST) else membrane


def _numbers(values: IntArray | FloatArray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
