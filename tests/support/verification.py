"""Small chip networks for verification, and copies of them with a planted fault."""

from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.programs import Features, chip_lif


def population(name: str, neurons: int, latency: int, vth: int, scale: float = 1.0) -> Population:
    """Stock neurons without leak and without synaptic memory."""
    params = {"du": 4095, "dv": 0, "vth": vth, "bias": 0}
    arrays = {key: np.array(value, np.int64) for key, value in params.items()}
    initial = {"u": np.array(0, np.int64), "v": np.array(0, np.int64)}
    return Population(name, (neurons,), chip_lif(Features()), arrays, initial, latency, 0, scale)


def row(populations: list[Population], weights: list[np.ndarray]) -> ChipNetwork:
    """Populations in a row behind a port, joined by dense synapses named ``to <target>``."""
    names = ["input", *(p.name for p in populations)]
    connections = tuple(
        Connection(f"to {target}", source, target, DenseSynapse(w.astype(np.int32)), 0, "mixed", 0)
        for source, target, w in zip(names, names[1:], weights, strict=False)
    )
    port = Port("input", (weights[0].shape[1],))
    return ChipNetwork("row", "loihi2", (port,), tuple(populations), connections, Readout(names[-1]))


def layered_chip() -> ChipNetwork:
    """Three layers of four: the first repeats its wires, the middle one adds up two of them over steps."""
    wires = np.eye(4) * 4
    mixed = wires + 2 * np.roll(np.eye(4), 1, axis=1)
    layers = [population("first", 4, 1, 1), population("middle", 4, 2, 8), population("last", 4, 3, 1)]
    layers[0] = replace(layers[0], params={**layers[0].params, "dv": np.array(4096)})
    return row(layers, [wires, mixed, wires])


def mlp_chip(seed: int = 0) -> ChipNetwork:
    """4 - 5 - 3 with random even weights."""
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-60, 61, shape) * 2 for shape in ((5, 4), (3, 5))]
    return row([population("hidden", 5, 1, 60), population("out", 3, 2, 60)], weights)


def with_params(chip: ChipNetwork, name: str, **values: int) -> ChipNetwork:
    """A copy of ``chip`` whose population ``name`` has other registers."""
    changed = {key: np.array(value, np.int64) for key, value in values.items()}
    populations = [replace(p, params={**p.params, **changed}) if p.name == name else p for p in chip.populations]
    return replace(chip, populations=tuple(populations))


def with_connection(chip: ChipNetwork, name: str, synapse: ChipSynapse) -> ChipNetwork:
    """A copy of ``chip`` whose connection ``name`` has another synapse."""
    connections = [replace(c, synapse=synapse) if c.name == name else c for c in chip.connections]
    return replace(chip, connections=tuple(connections))


def program_of(chip: ChipNetwork) -> Program:
    """``chip`` on one core, from no float network."""
    pieces = tuple(Piece(p.name, 0, p.size, 0) for p in chip.populations)
    return Program(chip, Placement(pieces, (CoreSite(0, 0, 0, 0),)), chip.target)
