"""What one neuron's registers were asked to hold in a run, worked out again from what the run recorded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, SUM_BITS, ChipNetwork, Connection, Population
from ranvier.compiler.ir.interpret import NUMPY, wrap
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix
from ranvier.compiler.ir.steps import INPUT, OPS
from ranvier.runtimes.recording import Recording

Ints = NDArray[np.int64]
Rows = Mapping[str, NDArray[np.int64]]


def incoming(chip: ChipNetwork, population: str, neuron: int) -> Rows:
    """The weights (sources,) of every connection into one neuron."""
    return {c.name: row(synapse_matrix(c.synapse), neuron) for c in chip.into[population]}


def row(matrix: Matrix, neuron: int) -> NDArray[np.int64]:
    """One row of a sparse matrix, dense."""
    return np.asarray(matrix[[neuron]].toarray()).reshape(-1)


def operands(
    chip: ChipNetwork, population: Population, neuron: int, rows: Rows, frames: NDArray[Any], recording: Recording
) -> dict[str, Ints]:
    """(samples, steps) operand of each register of ``neuron`` by the name under which its overflow is told.

    ``rows`` are its incoming weights, ``frames`` (samples, steps, wires) the integers that entered the port, and
    ``recording`` holds spikes and states.
    """
    found: dict[str, Ints] = {}
    whole: NDArray[Any] = np.zeros(frames.shape[:2], np.int64)
    for connection in chip.into[population.name]:
        sent = frames if connection.source == chip.ports[0].name else recording.spikes[connection.source]
        flat = sent.reshape(*sent.shape[:2], -1)
        total: NDArray[Any] = np.zeros(whole.shape, np.int64)
        delay = chip.network_delay(connection)
        total[:, delay:] = (flat @ rows[connection.name])[:, : total.shape[1] - delay]
        found[connection.name] = total
        whole = whole + _delivered(connection, total)
    if len(chip.into[population.name]) > 1:
        found[INPUT] = whole
    return found | _lossy(population, neuron, wrap(whole, SUM_BITS), recording)


def _delivered(connection: Connection, total: Ints) -> Ints:
    wrapped = wrap(total, ACCUMULATOR_BITS[connection.synapse.kind])
    e = connection.exponent
    return np.asarray(wrap(wrapped << e, SUM_BITS) if e > 0 else wrapped >> -e)


def _lossy(population: Population, neuron: int, current: Ints, recording: Recording) -> dict[str, Ints]:
    values: dict[str, Any] = {INPUT: current}
    for name, value in population.params.items():
        values[name] = np.broadcast_to(value, (population.size,))[neuron]
    for name, after in recording.states[population.name].items():
        first = np.broadcast_to(population.initial[name], (population.size,))[neuron]
        own = after.reshape(*current.shape, population.size)[:, :, neuron]
        values[name] = np.concatenate([np.full((own.shape[0], 1), first), own[:, :-1]], axis=1)
    with np.errstate(divide="ignore"):
        for op in population.program.ops:
            args = [values[arg] if isinstance(arg, str) else arg for arg in op.args]
            values[op.result] = NUMPY[op.kind](*args)
    lossy = [op for op in population.program.ops if OPS[op.kind].lossy]
    return {op.result: np.broadcast_to(values[str(op.args[0])], current.shape) for op in lossy}
