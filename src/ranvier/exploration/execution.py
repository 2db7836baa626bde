"""Schedules carried out: the bits that moved against those of the model, the spikes against the plain order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.schedule.choices import describe
from ranvier.compiler.schedule.plan import Plan
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.scheduled import ScheduledRun, run

Array = NDArray[Any]


@dataclass(frozen=True)
class Execution:
    """One schedule that was run on ``samples``: bits that the model says, bits counted, and spikes that differ."""

    schedule: str
    samples: int
    modelled_bits: int
    counted_bits: int
    same_transfers: bool
    compared: int
    differing: int

    @property
    def agrees(self) -> bool:
        """Whether every layer's every operand moved as modelled, and all spikes are those of the plain order."""
        return self.same_transfers and self.differing == 0

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**asdict(self), "agrees": self.agrees}


def execute(network: Network | ChipNetwork, plans: Sequence[Plan], inputs: Array) -> tuple[Execution, ...]:
    """Each of ``plans`` carried out on ``inputs`` (samples, steps, *shape), compared with the network's plain order."""
    plain = (
        oracle.run(network, inputs, ("spikes", "membrane"))
        if isinstance(network, ChipNetwork)
        else reference.run(network, inputs, ("spikes", "membrane"))
    )
    return tuple(_executed(network, plan, inputs, plain) for plan in plans)


def _executed(network: Network | ChipNetwork, plan: Plan, inputs: Array, plain: Recording) -> Execution:
    found: ScheduledRun = run(plan, network, inputs)
    pairs = [(found.spikes[name], plain.spikes[name]) for name in plain.spikes]
    pairs += [(found.membrane[name], plain.membrane[name]) for name in plain.membrane]
    return Execution(
        describe(plan.schedule),
        len(inputs),
        plan.dram_bits,
        sum(moved.bits for moved in found.moved.values()),
        dict(found.moved) == dict(plan.moved) and found.peak_bits == plan.peak_bits,
        sum(ours.size for ours, _ in pairs),
        sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs),
    )
