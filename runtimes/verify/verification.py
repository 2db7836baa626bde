"""The result of a verification, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.runtimes.perturb.results import Robustness
from ranvier.runtimes.verify.explain.results import Explanation
from ranvier.runtimes.verify.overflow import Overflow
from ranvier.runtimes.verify.results import Agreement, Comparison, Difference, earliest
from ranvier.runtimes.verify.statistics import Paired


@dataclass(frozen=True)
class Verification:
    """What deploying a network cost, and whether all executors of the program agree.

    ``runtime`` ran the deployed program on all ``samples`` of ``steps`` steps. ``accuracy`` is the deployed
    one with its 95 % Wilson ``interval``, ``float_accuracy`` that of the float network, ``paired`` their
    joint counts with McNemar's test; None without labels or a float network. ``same_predictions`` is the
    share of samples that both classify alike. ``agreement`` compares the spikes of each layer, float
    against deployed; ``comparisons`` set every other executor against ``runtime``, value by value.
    ``overflows`` are what happened in ``runtime``; ``diagnostics`` say what deserves attention, most serious
    first. ``seconds`` were spent per executor. ``confusion`` counts answers (columns) by right class (rows) for
    ``float`` and ``deployed``. ``explanation`` says why they differ, ``robustness`` what devices that are not ideal do
    to the deployed network, where they were asked for.
    """

    network: str
    target: str
    runtime: str
    samples: int
    steps: int
    float_accuracy: float | None
    accuracy: float | None
    interval: tuple[float, float] | None
    paired: Paired | None
    same_predictions: float | None
    agreement: Mapping[str, Agreement]
    comparisons: tuple[Comparison, ...]
    overflows: tuple[Overflow, ...]
    diagnostics: tuple[Diagnostic, ...]
    seconds: Mapping[str, float]
    confusion: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    explanation: Explanation | None = None
    robustness: Robustness | None = None

    @property
    def agrees(self) -> bool:
        """Whether every executor that was compared gave the same values everywhere."""
        return all(c.agrees for c in self.comparisons)

    @property
    def first_difference(self) -> Difference | None:
        """The first place where two executors part; None when all agree."""
        first = None
        for comparison in self.comparisons:
            first = earliest(first, comparison.first_difference)
        return first

    @property
    def first_deviation(self) -> Difference | None:
        """The first spike in which the deployed network differs from the float one."""
        first = None
        for agreement in self.agreement.values():
            first = earliest(first, agreement.first_difference)
        return first

    @property
    def spikes_compared(self) -> int:
        """Neuron-steps whose spikes were compared between executors."""
        return sum(c.spikes for c in self.comparisons)

    @property
    def disagreements(self) -> int:
        """Values in which executors differ: 0 for a sound deployment."""
        return sum(c.disagreements for c in self.comparisons)

    def to_json(self) -> dict[str, object]:
        """The whole content as plain values."""
        first, deviation = self.first_difference, self.first_deviation
        return {
            "network": self.network,
            "target": self.target,
            "runtime": self.runtime,
            "samples": self.samples,
            "steps": self.steps,
            "float_accuracy": self.float_accuracy,
            "accuracy": self.accuracy,
            "interval": None if self.interval is None else list(self.interval),
            "paired": None if self.paired is None else self.paired.to_json(),
            "same_predictions": self.same_predictions,
            "agreement": {name: a.to_json() for name, a in self.agreement.items()},
            "agrees": self.agrees,
            "spikes_compared": self.spikes_compared,
            "disagreements": self.disagreements,
            "first_difference": None if first is None else first.to_json(),
            "first_deviation": None if deviation is None else deviation.to_json(),
            "comparisons": [c.to_json() for c in self.comparisons],
            "overflows": [o.to_json() for o in self.overflows],
            "diagnostics": [d.to_json() for d in self.diagnostics],
            "seconds": dict(self.seconds),
            "confusion": {name: [list(row) for row in table] for name, table in self.confusion.items()},
            "explanation": None if self.explanation is None else self.explanation.to_json(),
            "robustness": None if self.robustness is None else self.robustness.to_json(),
        }
