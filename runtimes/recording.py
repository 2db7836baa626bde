"""What every executor returns, and how inputs are put on the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.network import Input, Network, Readout

Record = Literal["spikes", "states", "membrane"]
Records = Sequence[Record]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerStats:
    """Counts of one population over all samples and steps."""

    neurons: int
    spikes: int
    synaptic_operations: int


@dataclass(frozen=True)
class OverflowEvent:
    """Where a register wrapped or clipped: how often, and the first place in sample-major order.

    ``where`` is the result of an operation of the step program, or the connection whose accumulator wrapped, or ``a``,
    the program's input, where the sum of all connections did; ``step`` counts network steps.
    """

    population: str
    where: str
    count: int
    sample: int
    step: int
    neuron: int


@dataclass(frozen=True, eq=False)
class Recording:
    """The result of a run, aligned to the source network's steps (pipeline latency taken out).

    ``outputs`` (samples, steps, *shape): what the readout population sent (spikes, counts), or its
    membrane before reset when the readout reads membranes; ``predictions`` (samples,) by the readout.
    On request, per population: ``spikes`` (samples, steps, *shape) as sent, ``states`` per state name after
    the step, ``membrane`` before reset. ``stats`` per population, ``overflows`` as found, ``seconds`` spent
    running.
    """

    outputs: NDArray[Any]
    predictions: NDArray[np.int64]
    spikes: Arrays = field(default_factory=dict)
    membrane: Arrays = field(default_factory=dict)
    states: Mapping[str, Arrays] = field(default_factory=dict)
    stats: Mapping[str, LayerStats] = field(default_factory=dict)
    overflows: tuple[OverflowEvent, ...] = ()
    seconds: float = 0.0

    @property
    def current(self) -> Arrays:
        """The synaptic current of the populations whose states were recorded and have one."""
        return {name: states["u"] for name, states in self.states.items() if "u" in states}


def predict(readout: Readout, outputs: NDArray[Any]) -> NDArray[np.int64]:
    """(samples,) class by ``readout`` from ``outputs`` (samples, steps, *shape); ties go to the lowest index.

    By "first_spike", a neuron that never fires comes after all that do: where none fires, the answer is 0.
    """
    flat = outputs.reshape(outputs.shape[0], outputs.shape[1], -1)
    if readout.kind == "last_membrane":
        score = flat[:, -1]
    elif readout.kind == "max_membrane":
        score = flat.max(axis=1)
    elif readout.kind == "first_spike":
        fired = flat != 0
        score = np.where(fired.any(axis=1), -fired.argmax(axis=1), -flat.shape[1])
    else:
        score = flat.sum(axis=1)
    return np.asarray(score.argmax(axis=1), dtype=np.int64)


def check_inputs(inputs: NDArray[Any], network: Network | ChipNetwork) -> None:
    """Refuse data whose shape, type or values the network's input cannot take, saying what it takes."""
    check_frames(inputs, network.ports[0] if isinstance(network, ChipNetwork) else network.inputs[0])


def check_frames(inputs: NDArray[Any], port: Port | Input) -> None:
    """``check_inputs`` for what enters at ``port``; raises ``RanvierError`` RV821 to RV825."""
    if inputs.ndim != len(port.shape) + 2 or inputs.shape[2:] != port.shape:
        wanted = f"(samples, steps, {', '.join(map(str, port.shape))})"
        raise error("RV821", f"inputs of {port.name}", f"the data have shape {inputs.shape}, the input takes {wanted}",
                    "reshape the data, or repeat a static frame over the steps")  # fmt: skip
    if inputs.shape[0] == 0 or inputs.shape[1] == 0:
        raise error(
            "RV822",
            f"inputs of {port.name}",
            f"the data are empty: {inputs.shape}",
            "give at least one sample and step",
        )
    if inputs.dtype.kind not in "biuf":
        raise error("RV823", f"inputs of {port.name}", f"the data have type {inputs.dtype}", "give numbers")
    if inputs.dtype.kind == "f" and not bool(np.isfinite(inputs).all()):
        raise error("RV824", f"inputs of {port.name}", "the data contain NaN or infinity", "clean the data first")
    if _takes_spikes(port) and not _are_spikes(inputs):
        text = f"the input takes spikes (0 or 1), the data lie between {inputs.min()} and {inputs.max()}"
        raise error("RV825", f"inputs of {port.name}", text, "clip counts to 1, or load with coding='current'")


def encode(port: Port, inputs: NDArray[Any]) -> NDArray[np.int32]:
    """The integers that enter ``port`` for real ``inputs`` (samples, steps, *shape); spikes pass unchanged."""
    if port.bits == 0:
        return np.asarray(inputs, dtype=np.int32)
    limit = 2 ** (port.bits - 1) - 1
    return np.clip(np.rint(np.asarray(inputs, dtype=np.float64) * port.scale), -limit, limit).astype(np.int32)


def flat_frames(inputs: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """(samples, steps, size) view of ``inputs``."""
    return inputs.reshape(inputs.shape[0], inputs.shape[1], size(shape))


def _are_spikes(inputs: NDArray[Any]) -> bool:
    """Whether all values are 0 or 1; of integers the extremes say so, without an array in between."""
    if inputs.dtype.kind == "f":
        return bool(((inputs == 0) | (inputs == 1)).all())
    return bool(inputs.min() >= 0 and inputs.max() <= 1)


def _takes_spikes(port: Port | Input) -> bool:
    return port.bits == 0 if isinstance(port, Port) else port.coding == "spikes"
