"""What a comparison of recordings gives, joined over batches of samples."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """The first place where two runs part: earliest step, then first layer in the order of evaluation.

    ``quantity`` is what differs (``membrane``, ``spikes`` or ``state <name>``) with its two ``values``;
    ``membranes`` are the membranes before reset there and ``distances`` how far they are above (positive) or
    below the threshold; None where a side did not record them. ``neuron`` is an index into the layer's
    shape, ``step`` counts network steps, ``position`` is the layer's place in the order of evaluation.
    """

    position: int
    layer: str
    quantity: str
    step: int
    sample: int
    neuron: tuple[int, ...]
    values: tuple[float, float]
    membranes: tuple[float | None, float | None]
    distances: tuple[float | None, float | None]

    @property
    def key(self) -> tuple[int, int, int]:
        """What decides which of two differences is the earlier one."""
        return self.step, self.position, self.sample

    def to_json(self) -> dict[str, object]:
        """Plain values; what is infinite or was not recorded is None."""
        return {
            "layer": self.layer,
            "quantity": self.quantity,
            "step": self.step,
            "sample": self.sample,
            "neuron": list(self.neuron),
            "values": [finite(v) for v in self.values],
            "membranes": [finite(v) for v in self.membranes],
            "distances": [finite(v) for v in self.distances],
        }


@dataclass(frozen=True)
class Agreement:
    """Spikes of one layer, float against deployed, over all samples, steps and neurons.

    ``compared`` neuron-steps, ``equal`` of them with the same spikes, and the sums of spikes on both sides.
    """

    compared: int
    equal: int
    float_spikes: float
    spikes: float
    first_difference: Difference | None

    @property
    def fraction(self) -> float:
        """Share of neuron-steps with equal spikes."""
        return self.equal / self.compared

    @property
    def float_rate(self) -> float:
        """Spikes per neuron-step of the float network."""
        return self.float_spikes / self.compared

    @property
    def rate(self) -> float:
        """Spikes per neuron-step of the deployed network."""
        return self.spikes / self.compared

    @property
    def rate_error(self) -> float:
        """How many spikes per neuron-step the deployed network fires too many (negative: too few)."""
        return self.rate - self.float_rate

    def joined(self, later: "Agreement") -> "Agreement":
        """Both batches as one."""
        return Agreement(
            self.compared + later.compared,
            self.equal + later.equal,
            self.float_spikes + later.float_spikes,
            self.spikes + later.spikes,
            earliest(self.first_difference, later.first_difference),
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "compared": self.compared,
            "fraction": self.fraction,
            "float_rate": self.float_rate,
            "rate": self.rate,
            "rate_error": self.rate_error,
            "first_difference": None if self.first_difference is None else self.first_difference.to_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """Two executors of one program, which must agree in every value.

    ``spikes`` neuron-steps were compared (``fired`` of them with a spike), and ``states`` values of states
    and membranes, over ``samples``. ``missing`` names spikes that one side did not return, and values that
    came in different shapes: they count as no agreement.
    """

    runtime: str
    against: str
    samples: int
    spikes: int
    fired: int
    states: int
    disagreements: int
    first_difference: Difference | None
    missing: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every layer was compared, and every value is equal."""
        return self.disagreements == 0 and not self.missing and self.spikes > 0

    def joined(self, later: "Comparison") -> "Comparison":
        """Both batches as one."""
        return Comparison(
            self.runtime,
            self.against,
            self.samples + later.samples,
            self.spikes + later.spikes,
            self.fired + later.fired,
            self.states + later.states,
            self.disagreements + later.disagreements,
            earliest(self.first_difference, later.first_difference),
            tuple(dict.fromkeys((*self.missing, *later.missing))),
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "runtime": self.runtime,
            "against": self.against,
            "agrees": self.agrees,
            "samples": self.samples,
            "spikes_compared": self.spikes,
            "spikes_fired": self.fired,
            "states_compared": self.states,
            "disagreements": self.disagreements,
            "first_difference": None if self.first_difference is None else self.first_difference.to_json(),
            "missing": list(self.missing),
        }


def earliest(a: Difference | None, b: Difference | None) -> Difference | None:
    """The earlier of two differences; the first one when they fall together."""
    if a is None or b is None:
        return a or b
    return min(a, b, key=lambda d: d.key)


def finite(value: float | None) -> float | None:
    """``value``, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None
