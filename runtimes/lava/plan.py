"""Decides how a chip network becomes a Lava network that computes exactly the same.

A stock ``LIFReset`` starts each sample from zero, but it also integrates before its first network step and
after its last one. What it sends then does no harm while every connection that leaves it feeds the same
network step of its target (``network_delay`` 0): the target is outside its own window too, and is
reset. Spikes that would cross into another network step (recurrence, longer delays) do harm:

* before the first step, unless the population is silent then, which is found by running it;
* after the last step, unless each sample has a network of its own (``fresh``).

Where a stock neuron would not be exact, and for every other step program, a generated process takes
its place, which is silent outside its window; then all samples run in one Lava run, ``drain`` idle steps
after each.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.programs import BIAS_EXPONENT_MAX, BIAS_MANTISSA_MAX, CUBA_LIF
from ranvier.compiler.ir.verify import check_chip
from ranvier.runtimes.lava.names import identifiers
from ranvier.runtimes.lava.preamble import early_spikers

Process = Literal["Dense", "Sparse", "DelayDense", "DelaySparse", "Conv"]

MAX_DELAY = 62
CONV_BITS = 24
CONV_FIELD = 2**7 - 1
"""Lava keeps stride, padding, dilation, kernel size and groups of a convolution in eight bits."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population: its Python name, and whether a stock ``LIFReset`` runs it."""

    population: Population
    attribute: str
    stock: bool


@dataclass(frozen=True, eq=False)
class Synapse:
    """A connection: its Python name, the Lava process that computes it, and the bits of its messages."""

    connection: Connection
    attribute: str
    process: Process
    message_bits: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A Lava network; ``fresh``: one network per sample, else ``drain`` idle steps after each sample."""

    chip: ChipNetwork
    neurons: tuple[Neurons, ...]
    synapses: tuple[Synapse, ...]
    fresh: bool
    drain: int

    @property
    def generated(self) -> tuple[Neurons, ...]:
        """The populations that a generated process runs."""
        return tuple(n for n in self.neurons if not n.stock)


def plan(chip: ChipNetwork, single_run: bool = False) -> Plan:
    """How to emit ``chip``; ``single_run`` prefers one run for all samples to stock neurons on loops.

    Raises ``RanvierError`` RV706 with every connection that no Lava process computes exactly, and those of
    the verifier: names of a network from a file end up in source text.
    """
    check_chip(chip)
    found = [problem for connection in chip.connections for problem in _problems(chip, connection)]
    if found:
        raise RanvierError(found)
    carrying = frozenset(c.source for c in chip.connections if chip.network_delay(c) > 0)
    stock = frozenset(p.name for p in chip.populations if fits_stock(p))
    stock -= carrying if single_run else frozenset()
    while stock & carrying and (noisy := early_spikers(chip, stock) & carrying):
        stock -= noisy
    layers = identifiers(p.name for p in chip.populations)
    wires = identifiers((c.name for c in chip.connections), layers.values())
    return Plan(
        chip,
        tuple(Neurons(p, layers[p.name], p.name in stock) for p in chip.populations),
        tuple(Synapse(c, wires[c.name], _process(c), chip.by_name[c.source].bits) for c in chip.connections),
        bool(stock & carrying),
        max(chip.network_delay(c) for c in chip.connections),
    )


def fits_stock(population: Population) -> bool:
    """Whether Lava's own LIF has this neuron, starting from zero, with a bias that its registers hold."""
    zero = all(not np.any(value) for value in population.initial.values())
    return population.program.semantics == CUBA_LIF and zero and bias_registers(population) is not None


def bias_registers(population: Population) -> tuple[IntArray, IntArray] | None:
    """(mantissa, exponent) per neuron with ``mantissa << exponent`` equal to the bias, None if there is none."""
    bias = population.params["bias"]
    exponent = np.full(bias.shape, BIAS_EXPONENT_MAX + 1, dtype=np.int64)
    for candidate in range(BIAS_EXPONENT_MAX, -1, -1):
        fits = ((bias >> candidate) << candidate == bias) & (np.abs(bias >> candidate) <= BIAS_MANTISSA_MAX)
        exponent = np.where(fits, candidate, exponent)
    if np.any(exponent > BIAS_EXPONENT_MAX):
        return None
    shared = np.int64(exponent.max())
    if np.all((bias >> shared) << shared == bias):
        exponent = np.full(bias.shape, shared)
    return bias >> exponent, exponent


def _process(connection: Connection) -> Process:
    kind = connection.synapse.kind
    if kind == "conv" and connection.delay == 0 and not _must_unroll(connection):
        return "Conv"
    if kind == "dense":
        return "DelayDense" if connection.delay else "Dense"
    return "DelaySparse" if connection.delay else "Sparse"


def _must_unroll(connection: Connection) -> bool:
    """Whether Lava's convolution cannot be used: it has one padding per axis, and narrow fields."""
    synapse = connection.synapse
    assert isinstance(synapse, ConvSynapse)
    uneven = any(low != high for low, high in synapse.padding)
    fields = (*synapse.stride, *synapse.dilation, synapse.groups, *synapse.weight.shape[2:], *sum(synapse.padding, ()))
    return uneven or max(fields) > CONV_FIELD


def _problems(chip: ChipNetwork, connection: Connection) -> list[Diagnostic]:
    found = []
    if connection.delay > MAX_DELAY:
        found.append(
            _refusal(
                connection,
                f"a delay of {connection.delay} steps, Lava's synapses hold {MAX_DELAY}",
                "shorten the branch: its delay balances a longer one",
                delay=connection.delay,
            )
        )
    if isinstance(connection.synapse, ConvSynapse) and (connection.delay or _must_unroll(connection)):
        largest = _largest_sum(chip, connection)
        if largest >= 2 ** (CONV_BITS - 1):
            found.append(
                _refusal(
                    connection,
                    f"a convolution that Lava can only run as a sparse matrix, whose sums reach {largest}, "
                    f"beyond the {CONV_BITS} bits at which a convolution wraps",
                    "scale the weights down",
                    largest=largest,
                )
            )
    return found


def _largest_sum(chip: ChipNetwork, connection: Connection) -> int:
    """A bound of ``|W s|`` over all messages of the source."""
    bits = chip.by_name[connection.source].bits
    payload = 2 ** (bits - 1) - 1 if bits else 1
    return int(np.abs(synapse_matrix(connection.synapse)).sum(axis=1).max(initial=0)) * payload


def _refusal(connection: Connection, message: str, fix: str, **figures: int) -> Diagnostic:
    return Diagnostic(
        "RV706", f"connection {connection.name}", f"cannot be emitted for Lava: {message}", fix, figures=dict(figures)
    )
