"""What stock Lava neurons do before their first network step, when no input can have reached them."""

from collections import defaultdict

import numpy as np

from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, ChipNetwork, Connection
from ranvier.compiler.ir.interpret import step, wrap
from ranvier.compiler.ir.matrix import synapse_matrix


def early_spikers(chip: ChipNetwork, stock: frozenset[str]) -> frozenset[str]:
    """The populations of ``stock`` that spike before their latency has passed, driven by their biases.

    All populations of ``stock`` run from chip step 0 on, the others are silent until their latency has
    passed. A step of the input cannot arrive earlier than at the target's same network step, so what is found
    here holds for every input.
    """
    running = [p for p in chip.populations if p.name in stock]
    states = {p.name: {s: np.broadcast_to(v, p.size) for s, v in p.initial.items()} for p in running}
    arriving: dict[tuple[str, int], IntArray] = defaultdict(lambda: np.zeros((), np.int64))
    found: set[str] = set()
    for now in range(chip.latency):
        for population in (p for p in running if now < p.latency):
            name = population.name
            result = step(population.program, states[name], population.params, arriving[name, now])
            states[name] = {s: np.asarray(v) for s, v in result.states.items()}
            sent = np.broadcast_to(np.asarray(result.spikes, dtype=np.int64), population.size)
            if not sent.any():
                continue
            found.add(name)
            for connection in (c for c in chip.connections if c.source == name):
                when = connection.target, now + 1 + connection.delay
                arriving[when] = wrap(arriving[when] + _delivered(connection, sent), 32)
    return frozenset(found)


def _delivered(connection: Connection, sent: IntArray) -> IntArray:
    total = wrap(synapse_matrix(connection.synapse) @ sent, ACCUMULATOR_BITS[connection.synapse.kind])
    exponent = connection.exponent
    return wrap(total << exponent, 32) if exponent > 0 else total >> -exponent
