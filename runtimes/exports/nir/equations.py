"""A chip network as a float network in its own integers, so that NIR can say it: weights and registers as deployed.

What arrives at a neuron counts in steps of its weights' unit: on Loihi one sixty-fourth of the membrane register, so
that weights stand as they lie on the chip, and so does the 17-bit threshold; on Xylo and DYNAP-CNN the register
itself. What NIR has no words for is left to the metadata: where registers round, wrap and clip.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import FloatArray, floats
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Population
from ranvier.compiler.ir.linear import Conv, Dense, Sparse, Synapse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons
from ranvier.compiler.ir.neuron_steps.arithmetic import DECAY_UNITY, INPUT_SHIFT
from ranvier.compiler.ir.neuron_steps.bytes import DYNAPCNN_IAF, XYLO_LIF, dynapcnn_iaf, xylo_lif
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import CUBA_LIF, CUBA_REFRACTORY, Features, chip_lif

WORDS = re.compile(r"(?P<word>multi|most)(?P<count>\d*)")
FLAGS = ("current_drive", "late_guard", "refractory", "floor", "full_width", "late_current", "reset_current")
Reading = tuple[Lif, float]
"""A neuron, and what of a weight on the chip's grid arrives there."""


def equations(chip: ChipNetwork) -> Network:
    """The network whose nodes are the ports, connections and populations of ``chip``, by their names.

    A connection that has a population's name gets another. Raises ``RanvierError`` RV464 for each neuron that NIR
    has no equation for.
    """
    read: dict[str, Reading] = {}
    problems = []
    for population in chip.populations:
        found = _read(population)
        if found is None:
            text = f"NIR has no equation for its neuron {population.program.semantics}"
            fix = "save the program (.rnv) instead: it holds every neuron"
            problems.append(Diagnostic("RV464", population.name, text, fix))
        else:
            read[population.name] = found
    if problems:
        raise RanvierError(problems)
    inputs = [Input(p.name, p.shape, "current" if p.bits else "spikes", encoder=p.encoder) for p in chip.ports]
    neurons = [Neurons(p.name, p.shape, read[p.name][0]) for p in chip.populations]
    names = synapse_names(chip)
    linear = [_linear(names[c.name], c, read[c.target][1]) for c in chip.connections]
    edges = [Edge(c.source, names[c.name], chip.network_delay(c)) for c in chip.connections]
    edges += [Edge(names[c.name], c.target) for c in chip.connections]
    return Network(chip.name, (*inputs, *linear, *neurons), tuple(edges), chip.readout)


def synapse_names(chip: ChipNetwork) -> Mapping[str, str]:
    """What the node of each connection is called: its name, unless a population has it."""
    taken = set(chip.by_name) | {c.name for c in chip.connections}
    made = {}
    for c in chip.connections:
        name = c.name
        while name in chip.by_name or (name != c.name and name in taken):
            name += "_synapse"
        made[c.name] = name
        taken.add(name)
    return made


def _linear(name: str, c: Connection, part: float) -> Synapse:
    synapse, factor = c.synapse, part * 2.0**c.exponent
    if isinstance(synapse, DenseSynapse):
        return Dense(name, floats(synapse.weight * factor))
    if isinstance(synapse, ConvSynapse):
        return Conv(
            name, floats(synapse.weight * factor), synapse.in_shape, None, synapse.stride, synapse.padding,
            synapse.dilation, synapse.groups,
        )  # fmt: skip
    return Sparse(
        name, floats(synapse.data * factor), synapse.indices, synapse.indptr, synapse.in_size, (synapse.out_size,)
    )


def _read(population: Population) -> Reading | None:
    """The neuron, None where NIR's family has none."""
    family = population.program.semantics
    readers: Mapping[str, Callable[[Population], Reading | None]] = {
        CUBA_LIF: _cuba, CUBA_REFRACTORY: _cuba, "loihi2.lif": _cuba, XYLO_LIF: _xylo, DYNAPCNN_IAF: _dynapcnn,
    }  # fmt: skip
    for name in sorted(readers, key=len, reverse=True):
        if family == name or family.startswith(f"{name}."):
            return readers[name](population)
    return None


def _cuba(population: Population) -> Reading | None:
    f, params, unit = _features(population), population.params, 2.0**-INPUT_SHIFT
    if chip_lif(f) != population.program:
        return None
    threshold = floats(params["vth"] if f.mantissa else params["threshold"] * unit)
    model = Lif(
        keep_current=(DECAY_UNITY - 1 - params["du"]) / DECAY_UNITY,
        keep_membrane=(DECAY_UNITY - params["dv"]) / DECAY_UNITY,
        drive=floats(params["bias"] * unit),
        threshold=threshold,
        compare=f.compare,
        max_spikes=f.max_spikes,
        reset=f.reset,
        reset_value=_scaled(params, "reset_value", unit, 0.0),
        reset_amount=_scaled(params, "reset_amount", unit, threshold),
        late_guard=f.late_guard,
        refractory=int(np.max(params.get("refractory", np.zeros(1)))),
        floor=float(np.max(params["floor"])) * unit if f.floor else None,
        initial=floats(population.initial["v"] * unit),
        late_current=f.late_current,
        reset_current=f.reset_current,
        block_input=f.block_input,
    )
    return model, 1.0


def _features(population: Population) -> Features:
    """What the name of a program of the family says; the caller compares the program that it stands for."""
    if population.program.semantics in (CUBA_LIF, CUBA_REFRACTORY):
        wired = population.program.semantics == CUBA_REFRACTORY
        return Features(wired=wired, refractory=wired)
    words = population.program.semantics.split(".")[2:]
    given: dict[str, Any] = {word: True for word in (*FLAGS, "block_input") if word in words}
    given["compare"] = ">=" if "ge" in words else ">"
    given["reset"] = next((word for word in words if word in ("subtract", "none")), "value")
    given["max_spikes"] = _count(words, "multi", 1)
    return Features(**given, current="no_current" not in words)


def _count(words: list[str], wanted: str, otherwise: int) -> int:
    """The number behind the word ``wanted``, 0 (without limit) where it has none."""
    found = [m for m in map(WORDS.fullmatch, words) if m and m["word"] == wanted]
    return int(found[0]["count"] or 0) if found else otherwise


def _xylo(population: Population) -> Reading | None:
    """``u' = a (u + x)``: with u = a i that is ``i' = a i + x``, and a is the gain of i."""
    most = _count(population.program.semantics.split("."), "most", 0)
    if xylo_lif(most) != population.program:
        return None
    params = population.params
    keep = 1.0 - 1.0 / params["divisor_syn"]
    base = _subtracting(floats(params["threshold"]), most)
    model = replace(
        base, keep_current=keep, gain=keep, keep_membrane=1.0 - 1.0 / params["divisor_mem"],
        drive=floats(params["bias"]), initial=floats(population.initial["v"]),
    )  # fmt: skip
    return model, 0.5


def _dynapcnn(population: Population) -> Reading | None:
    words = population.program.semantics.split(".")
    most, reset = _count(words, "most", 0), "zero" if "zero" in words else "subtract"
    if dynapcnn_iaf(reset, most, "floor" in words) != population.program:
        return None
    params = population.params
    floor = float(np.max(params["floor"])) if "floor" in words else None
    base = replace(_subtracting(floats(params["threshold"]), most), drive=floats(params["bias"]), floor=floor)
    return (base if reset == "subtract" else replace(base, reset="value")), 0.5


def _subtracting(threshold: FloatArray, most: int) -> Lif:
    return Lif(threshold=threshold, compare=">=", max_spikes=most, reset="subtract", reset_amount=threshold)


def _scaled(params: Mapping[str, Any], name: str, unit: float, otherwise: Any) -> Any:
    return params[name] * unit if name in params else otherwise
