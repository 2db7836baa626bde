"""What an explanation holds, as data; ``docs/verification.md`` describes its JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ranvier.runtimes.verify.results import Difference, finite


@dataclass(frozen=True)
class LayerComparison:
    """One layer of two runs: over ``compared`` neuron-steps, ``equal`` of them with the same spikes.

    ``rates`` are spikes per neuron-step of both; ``membrane_rms`` the root of the mean squared difference of the
    membranes before reset in units of the threshold, None where one was not recorded or there is no threshold;
    ``first`` the first differing spike, ``first_membrane`` the first membrane that differs by more than a millionth
    of the threshold.
    """

    compared: int
    equal: int
    rates: tuple[float, float]
    membrane_rms: float | None
    first: Difference | None
    first_membrane: Difference | None = None

    @property
    def agreement(self) -> float:
        """Share of neuron-steps with equal spikes."""
        return self.equal / self.compared

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "compared": self.compared,
            "agreement": self.agreement,
            "rates": list(self.rates),
            "rate_error": self.rates[1] - self.rates[0],
            "membrane_rms": finite(self.membrane_rms),
            "first_difference": None if self.first is None else self.first.to_json(),
            "first_membrane": None if self.first_membrane is None else self.first_membrane.to_json(),
        }


@dataclass(frozen=True)
class Stage:
    """One stand of the network on its way to the chip, what it is, and how well it answers on ``samples``."""

    name: str
    meaning: str
    samples: int
    accuracy: float | None


@dataclass(frozen=True)
class Step:
    """Two neighbouring stages, layer by layer: each running by itself (``free``), and ``forced``.

    Forced: every layer of one stage is given the recorded spikes of ``teacher``, the other, and compared with what the
    teacher's own layer sent.
    """

    before: str
    after: str
    teacher: str
    same_predictions: float
    free: Mapping[str, LayerComparison]
    forced: Mapping[str, LayerComparison]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "before": self.before,
            "after": self.after,
            "teacher": self.teacher,
            "same_predictions": self.same_predictions,
            "free": {name: c.to_json() for name, c in self.free.items()},
            "forced": {name: c.to_json() for name, c in self.forced.items()},
        }


@dataclass(frozen=True)
class LayerError:
    """One layer of the deployed network against the float one.

    ``free`` running by themselves, ``forced`` by the float network's spikes; the accuracies if only this layer were
    exact, and if only this layer were deployed; None without labels.
    """

    layer: str
    free: LayerComparison
    forced: LayerComparison
    accuracy_if_exact: float | None
    accuracy_if_only_deployed: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "layer": self.layer,
            "free": self.free.to_json(),
            "forced": self.forced.to_json(),
            "accuracy_if_exact": self.accuracy_if_exact,
            "accuracy_if_only_deployed": self.accuracy_if_only_deployed,
        }


@dataclass(frozen=True)
class Effect:
    """What one approximation does: in the whole network (``layer`` None, free running) or in one layer (forced).

    ``..._if_exact``: the deployed network with this approximation alone made exact. ``..._alone``: the float network
    with this approximation alone. ``agreement`` is the share of neuron-steps whose spikes equal the float network's,
    ``membrane_rms`` in units of the threshold (None in the whole network). Accuracies are None without labels and
    in single layers.
    """

    approximation: str
    layer: str | None
    agreement_if_exact: float
    agreement_alone: float
    membrane_rms_if_exact: float | None = None
    membrane_rms_alone: float | None = None
    accuracy_if_exact: float | None = None
    accuracy_alone: float | None = None


@dataclass(frozen=True)
class Share:
    """What one approximation has to do with one differing spike.

    ``restores``: made exact, the spike is the float network's. ``reproduces``: alone, it makes the difference.
    ``shift``: how far it alone moves the membrane there, in units of the threshold.
    """

    approximation: str
    restores: bool
    reproduces: bool
    shift: float | None


@dataclass(frozen=True)
class Cause:
    """Why one spike differs: the smallest set of approximations that, made exact, restores it.

    ``mode``: ``free`` or ``forced``. ``approximations`` is empty where not even all of them together restore it, which
    happens where the float network's own sums are rounded differently.
    """

    mode: str
    difference: Difference
    approximations: tuple[str, ...]
    shares: tuple[Share, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "mode": self.mode,
            "difference": self.difference.to_json(),
            "approximations": list(self.approximations),
            "shares": [{**asdict(s), "shift": finite(s.shift)} for s in self.shares],
        }


@dataclass(frozen=True)
class Departure:
    """Registers of one layer that are not the nearest to their exact values.

    ``registers`` of them, the furthest ``worst`` steps of its grid away; ``beyond`` counts those more than one step
    away, which no way of rounding gives. ``examples`` name some: place, value, nearest. ``explains``: whether
    setting them to the nearest removes every difference in this layer.
    """

    approximation: str
    registers: int
    beyond: int
    worst: float
    examples: tuple[str, ...]
    explains: bool


@dataclass(frozen=True)
class Suspect:
    """A layer that is not what rounding to the nearest registers would have made of the float network.

    ``first``: the first membrane or spike that this changes, the layer being given the same spikes; None where nothing
    shows on these samples. ``cause``: the departures that explain it, the fewest that do.
    """

    layer: str
    departures: tuple[Departure, ...]
    first: Difference | None
    cause: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "layer": self.layer,
            "departures": [{**asdict(d), "worst": finite(d.worst)} for d in self.departures],
            "first_difference": None if self.first is None else self.first.to_json(),
            "cause": list(self.cause),
        }


@dataclass(frozen=True)
class ExecutorFault:
    """A layer of an executor that is not what the chip network says, given the executor's own spikes.

    ``first``: the first membrane or spike that differs, the chip network's on the left. ``cause`` and ``change``: the
    single change of the layer that gives exactly the executor's values, None where none that was tried does.
    """

    runtime: str
    layer: str
    first: Difference
    cause: str | None
    change: str | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "runtime": self.runtime,
            "layer": self.layer,
            "first_difference": self.first.to_json(),
            "cause": self.cause,
            "change": self.change,
        }


@dataclass(frozen=True)
class Explanation:
    """Where a deployed network leaves its float network, and which approximation makes it.

    Measured on the first ``samples`` samples of ``steps`` steps. ``stages`` and ``chain``: the network's stands and
    neighbouring ones compared. ``layers``: the table per layer. ``effects``: every approximation, in the whole
    network and in every layer. ``causes``: the first differing spike, free running and forced. ``suspects``: layers
    whose registers are not the nearest ones. ``faults``: layers of executors that are not what the chip network says.
    ``traces``: chosen samples, as the JSON has them. ``meanings``: what each approximation is, in words.
    """

    samples: int
    steps: int
    stages: tuple[Stage, ...]
    chain: tuple[Step, ...]
    layers: tuple[LayerError, ...]
    effects: tuple[Effect, ...]
    causes: tuple[Cause, ...]
    suspects: tuple[Suspect, ...]
    faults: tuple[ExecutorFault, ...] = ()
    traces: tuple[Mapping[str, object], ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The whole content as plain values."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "stages": [asdict(s) for s in self.stages],
            "chain": [s.to_json() for s in self.chain],
            "layers": [row.to_json() for row in self.layers],
            "effects": [asdict(e) for e in self.effects],
            "causes": [c.to_json() for c in self.causes],
            "suspects": [s.to_json() for s in self.suspects],
            "faults": [f.to_json() for f in self.faults],
            "traces": [dict(t) for t in self.traces],
            "meanings": dict(self.meanings),
        }
