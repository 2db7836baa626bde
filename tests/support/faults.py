"""Chip networks with one planted fault: a wrong decay, a wrong reset, a flipped bit, a missing delay, a comparison."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Connection, Population, SparseSynapse
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import StepProgram


@dataclass(frozen=True, eq=False)
class Fault:
    """A faulty copy of a chip network, the layer that is wrong and what is wrong with it."""

    chip: ChipNetwork
    layer: str
    cause: str


def random_network(rng: Generator, on_lattice: bool = False) -> Network:
    """Three layers behind a port, the last also reached from the first, with recurrence in the middle.

    ``on_lattice``: weights and thresholds are small multiples of 1/4 without decay, so that thresholds are met exactly.
    """
    sizes = [int(n) for n in rng.integers(4, 10, 4)]

    def dense(name: str, targets: int, sources: int, gain: float) -> Dense:
        if on_lattice:
            return Dense(name, rng.integers(-2, 4, (targets, sources)) * 0.25)
        return Dense(name, rng.normal(0.15, gain, (targets, sources)), rng.normal(0, 0.02, targets))

    def model() -> Lif:
        if on_lattice:
            return Lif(threshold=1.0, compare=">", reset="value")
        slow = bool(rng.random() < 0.5)
        return Lif(
            keep_current=float(rng.uniform(0.3, 0.9)) if slow else 0.0,
            keep_membrane=float(rng.uniform(0.6, 0.97)),
            threshold=1.0,
            reset="subtract" if rng.random() < 0.5 else "value",
        )

    nodes: tuple[Node, ...] = (
        Input("in", (sizes[0],), "spikes"),
        dense("w1", sizes[1], sizes[0], 0.5),
        Neurons("first", (sizes[1],), model()),
        dense("w2", sizes[2], sizes[1], 0.5),
        Neurons("middle", (sizes[2],), model()),
        Dense("loop", rng.normal(0, 0.2, (sizes[2], sizes[2])) if not on_lattice else np.eye(sizes[2]) * 0.25),
        dense("w3", sizes[3], sizes[2], 0.5),
        dense("skip", sizes[3], sizes[1], 0.5),
        Neurons("last", (sizes[3],), model()),
    )
    edges = (
        Edge("in", "w1"),
        Edge("w1", "first"),
        Edge("first", "w2"),
        Edge("w2", "middle"),
        Edge("middle", "loop", 3),
        Edge("loop", "middle"),
        Edge("middle", "w3"),
        Edge("w3", "last"),
        Edge("first", "skip", 2),
        Edge("skip", "last"),
    )
    return Network("random", nodes, edges, Readout("last"))


def wrong_decay(rng: Generator, chip: ChipNetwork) -> Fault | None:
    """One decay register of a layer is off by up to a quarter."""
    choices = [(p, name) for p in chip.populations for name in ("du", "dv") if 0 < np.max(p.params[name]) < 4095]
    if not choices:
        return None
    population, name = choices[int(rng.integers(len(choices)))]
    other = np.clip(population.params[name] + int(rng.integers(2, 1024)) * int(rng.choice([-1, 1])), 0, 4094)
    if np.all(np.abs(other - population.params[name]) < 2):
        return None
    cause = "current decay" if name == "du" else "membrane decay"
    return Fault(_with(chip, replace(population, params={**population.params, name: other})), population.name, cause)


def wrong_reset(rng: Generator, chip: ChipNetwork) -> Fault:
    """A layer subtracts where it should reset, or the other way, or to another value."""
    population = chip.populations[int(rng.integers(len(chip.populations)))]
    params = dict(population.params)
    level = params["vth"] << 6 if "vth" in params else params["threshold"]
    if "reset_amount" in params:
        if rng.random() < 0.5:
            program = chip_lif(Features(full_width=True))
            params = {"reset_value": np.array(0), **params}
        else:
            program = population.program
            params["reset_amount"] = params["reset_amount"] // 2
    else:
        program = chip_lif(Features(reset="subtract"))
        params |= {"threshold": level, "reset_amount": level}
    kept = {name: params[name] for name in program.params}
    return Fault(_with(chip, replace(population, program=program, params=kept)), population.name, "reset")


def flipped_bit(rng: Generator, chip: ChipNetwork, lowest: int = 2) -> Fault:
    """One bit of one weight, from bit ``lowest`` on."""
    connection = chip.connections[int(rng.integers(len(chip.connections)))]
    values = _weights(connection.synapse).copy()
    place = int(rng.integers(values.size))
    values.flat[place] ^= 1 << int(rng.integers(lowest, 8))
    changed = replace(connection, synapse=_with_weights(connection.synapse, values))
    return Fault(_joined(chip, changed), connection.target, "weights")


def missing_delay(rng: Generator, chip: ChipNetwork) -> Fault | None:
    """One connection that has an extra delay has none, or one step less."""
    late = [c for c in chip.connections if c.delay > 0]
    if not late:
        return None
    connection = late[int(rng.integers(len(late)))]
    left = int(rng.integers(0, connection.delay))
    return Fault(_joined(chip, replace(connection, delay=left)), connection.target, "delay")


def other_comparison(rng: Generator, chip: ChipNetwork) -> Fault:
    """A layer fires where the threshold is met, and should not (or the other way)."""
    population = chip.populations[int(rng.integers(len(chip.populations)))]
    program = population.program
    fires = next(op for op in reversed(program.ops) if op.kind in ("gt", "ge") and op.args[0] == program.membrane)
    other = replace(fires, kind={"gt": "ge", "ge": "gt"}[fires.kind])
    ops = tuple(other if op is fires else op for op in program.ops)
    renamed: StepProgram = replace(program, ops=ops, semantics=program.semantics + ".other")
    return Fault(_with(chip, replace(population, program=renamed)), population.name, "comparison")


PLANT: Mapping[str, Callable[[Generator, ChipNetwork], Fault | None]] = {
    "decay": wrong_decay,
    "reset": wrong_reset,
    "bit": flipped_bit,
    "delay": missing_delay,
    "comparison": other_comparison,
}


def _with(chip: ChipNetwork, population: Population) -> ChipNetwork:
    populations = tuple(population if p.name == population.name else p for p in chip.populations)
    return replace(chip, populations=populations)


def _joined(chip: ChipNetwork, connection: Connection) -> ChipNetwork:
    return replace(chip, connections=tuple(connection if c.name == connection.name else c for c in chip.connections))


def _weights(synapse: ChipSynapse) -> np.ndarray:
    return synapse.data if isinstance(synapse, SparseSynapse) else synapse.weight


def _with_weights(synapse: ChipSynapse, values: np.ndarray) -> ChipSynapse:
    if isinstance(synapse, SparseSynapse):
        return replace(synapse, data=values)
    return replace(synapse, weight=values)
