"""The goals, and how far a record reaches each."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.speed.peers import FLOAT_PEERS, OURS
from benchmarks.speed.record import Record, fastest, ratio

MLP = "mlp 10%"
TWO = "Ranvier, 2 threads"
GPU = "Ranvier, GPU"


@dataclass(frozen=True)
class Found:
    """A measured value, and against what where the goal leaves that open."""

    value: float
    against: str = ""


@dataclass(frozen=True)
class Goal:
    """``measure`` should give at least ``wanted``; ``unit``: "x" for a ratio of times, "%" for a share."""

    name: str
    wanted: float
    unit: str
    measure: Callable[[Record], Found | None]


@dataclass(frozen=True)
class Outcome:
    """A goal and what was found; None: not measured."""

    goal: Goal
    found: Found | None

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.found is None:
            return "not measured"
        return "met" if self.found.value >= self.goal.wanted else "not met"


def _against(peer: str, workload: str, batch: int | None = None, ours: str = OURS) -> Callable[[Record], Found | None]:
    def measure(record: Record) -> Found | None:
        value = ratio(record, workload, peer, ours, batch)
        return None if value is None else Found(value)

    return measure


def _fastest(workload: str, batch: int) -> Callable[[Record], Found | None]:
    def measure(record: Record) -> Found | None:
        peer = fastest(record, workload, FLOAT_PEERS, batch)
        value = None if peer is None else ratio(record, workload, peer, OURS, batch)
        return None if value is None or peer is None else Found(value, peer)

    return measure


def _measured(name: str) -> Callable[[Record], Found | None]:
    def measure(record: Record) -> Found | None:
        value = record["measures"].get(name)
        return None if value is None else Found(float(value))

    return measure


GOALS: tuple[Goal, ...] = (
    Goal("Lava fixed_pt, MLP, per sample-step, batch 256", 1000, "x", _against("Lava fixed_pt", MLP, 256)),
    Goal("Lava fixed_pt, MLP, batch 1", 200, "x", _against("Lava fixed_pt", MLP, 1)),
    Goal("fastest float framework, MLP at 10 % input, batch 256", 5, "x", _fastest(MLP, 256)),
    Goal("fastest float framework, N-MNIST conv net on real events, batch 256", 10, "x", _fastest("nmnist", 256)),
    Goal("nengo-loihi emulator, MLP, batch 256", 500, "x", _against("nengo-loihi", MLP, 256)),
    Goal("brian2-loihi, MLP, batch 256", 500, "x", _against("brian2-loihi", MLP, 256)),
    Goal("XyloSim (C++), same network", 1, "x", _against("XyloSim", "xylo")),
    Goal("two threads against one, MLP, batch 256", 1.8, "x", _against(OURS, MLP, 256, TWO)),
    Goal("neuron update, share of a copy of the same bytes", 0.5, "%", _measured("neuron_update_share")),
    Goal("GPU: neuron scan, share of the card's copy bandwidth", 0.7, "%", _measured("gpu_scan_share")),
    Goal("GPU: synapses, share of its matrix peak, batch 256", 0.5, "%", _measured("gpu_matrix_share")),
    Goal("GPU: SpikingJelly with CUDA, MLP, batch 256", 3, "x", _against("SpikingJelly, GPU", MLP, 256, GPU)),
)


def evaluate(record: Record) -> list[Outcome]:
    """Every goal with what ``record`` says about it."""
    return [Outcome(goal, goal.measure(record)) for goal in GOALS]
