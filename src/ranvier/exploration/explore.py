"""A network on a chip with a hierarchy of memories: the schedules, the best one, and what carrying them out shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.network import Network
from ranvier.compiler.pipeline import prepare
from ranvier.compiler.schedule.choices import OWN, Rules, parse_schedule
from ranvier.compiler.schedule.cost import Costs, costs, dram_pj
from ranvier.compiler.schedule.networks import chip_workload, network_workload
from ranvier.compiler.schedule.plan import Plan, planned
from ranvier.compiler.schedule.search import Evaluator, Found, Objective, Point, Progress, search
from ranvier.compiler.schedule.tables import Role
from ranvier.compiler.schedule.workload import Layer, Workload
from ranvier.exploration.density import Density, constant, measured
from ranvier.exploration.elision import Elision, can_elide, compared, without_states
from ranvier.exploration.execution import Execution, execute
from ranvier.runtimes import simulator
from ranvier.runtimes.recording import Recording
from ranvier.targets.hierarchies import HierarchyCore
from ranvier.targets.load import load_hierarchy

Array = NDArray[Any]
EXECUTED_SAMPLES = 2
"""Samples on which schedules are carried out; what moves does not depend on the data."""


@dataclass(frozen=True)
class Wish:
    """What is asked of an exploration.

    ``objective``: what the search minimizes; ``schedule``: one in words instead of the search's; ``weight_bits`` and
    ``state_bits`` of a float network instead of the target's; ``elide``: layers to try without states together, besides
    each by itself; ``density``: the share of inputs that are not zero in all layers, None: measured on the data, and
    without data 1; ``prove``: look on until no other schedule can be better.
    """

    objective: Objective = "energy"
    schedule: str | None = None
    rules: Rules = OWN
    weight_bits: int | None = None
    state_bits: int | None = None
    elide: tuple[str, ...] = ()
    density: float | None = None
    prove: bool = False


@dataclass(frozen=True, eq=False)
class Exploration:
    """What was found: all schedules that were tried, the ``chosen`` one worked out, executions and elisions."""

    target: str
    workload: Workload
    wish: Wish
    found: Found
    chosen: Point
    plan: Plan
    costs: Costs
    density: Density
    executions: tuple[Execution, ...] = ()
    elisions: tuple[Elision, ...] = ()
    accuracy: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether everything that was carried out moved and sent what the model and the plain order say."""
        return all(execution.agrees for execution in self.executions)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "network": self.workload.name,
            "target": self.target,
            "steps": self.workload.steps,
            "state_io": self.wish.rules.state_io,
            "weight_bits": self.workload.weight_bits,
            "state_bits": self.workload.state_bits,
            "blocks": [list(block) for block in self.workload.blocks],
            "objective": self.wish.objective,
            "exact": self.found.exact,
            "bound": self.found.bound,
            "tried": self.found.tried,
            "chosen": self.chosen.to_json(),
            "uniform": {str(choice): point.to_json() for choice, point in self.found.uniform.items()},
            "pareto": [point.to_json() for point in self.found.pareto],
            "density": self.density.to_json(),
            "compute_pj": self.costs.level_pj("compute"),
            "memory_pj": self.costs.operands(),
            "layers": _layers_json(self.plan, self.costs),
            "evictions": self.plan.evictions,
            "executions": [execution.to_json() for execution in self.executions],
            "accuracy": self.accuracy,
            "elisions": [elision.to_json() for elision in self.elisions],
        }


def explore(
    source: Network | ChipNetwork,
    target: str | Path,
    steps: int | None = None,
    data: tuple[ArrayLike, ArrayLike | None] | None = None,
    wish: Wish | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Exploration:
    """Schedules of ``source`` on ``target`` over ``steps`` steps (by default those of the data or of the coder).

    ``data``: inputs as ``App.run`` takes them, and labels or None. With them the density of what layers read is
    measured, the chosen schedule and the uniform ones are carried out and compared, and layers are tried without their
    states.

    Raises ``RanvierError`` RV530 for targets without a hierarchy of memories, RV534 and RV535 for impossible schedules,
    RV540 for layers that cannot be elided, RV541 if the number of steps is not known, RV542 for labels that do not fit,
    RV760 for a density that is no share.
    """
    wish = Wish() if wish is None else wish
    core = _core(load_hierarchy(target).core, wish)
    network = source if isinstance(source, ChipNetwork) else prepare(source)
    entry = network.ports[0] if isinstance(network, ChipNetwork) else network.inputs[0]
    inputs = None if data is None else frames_of(entry, np.asarray(data[0]))
    known = inputs.shape[1] if inputs is not None else steps or (entry.encoder.steps if entry.encoder else None)
    if known is None:
        raise error("RV541", network.name, "for how many steps it runs is not known", "say it: --steps 16")
    run = None if inputs is None else _Data(network, inputs, None if data is None else data[1])
    density = _density(network, run, None if run is None else run.recording, wish)
    workload = workload_of(network, known, core, density)
    found = search(Evaluator(workload, core, wish.rules), wish.objective, progress=progress, prove=wish.prove)
    chosen = found.best
    if wish.schedule is not None:
        chosen = _wanted(wish, workload, core)
    plan = planned(workload, chosen.schedule, core, wish.rules)
    elisions = [_elision(names, network, run, known, core, wish) for names in _to_elide(network, workload, wish, run)]
    result = Exploration(load_hierarchy(target).name, workload, wish, found, chosen, plan, costs(plan), density,
                         elisions=tuple(elisions))  # fmt: skip
    if run is None:
        return result
    plans = [planned(workload, p.schedule, core, wish.rules) for p in (*found.uniform.values(), chosen)]
    return replace(result, executions=execute(network, plans, run.inputs[:EXECUTED_SAMPLES]), accuracy=run.accuracy)


class _Data:
    """Inputs (samples, steps, *shape) with labels or None, and what the network as it is makes of them."""

    def __init__(self, network: Network | ChipNetwork, inputs: Array, labels: ArrayLike | None) -> None:
        self.inputs = inputs
        self.labels = None if labels is None else _labels(labels, len(inputs))
        self.recording = self.of(network)

    def of(self, network: Network | ChipNetwork) -> Recording:
        """The spikes and answers of ``network``."""
        return simulator.run(network, self.inputs, ("spikes",))

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None without labels."""
        return None if self.labels is None else float(np.mean(self.recording.predictions == self.labels))


def _density(network: Network | ChipNetwork, run: _Data | None, recording: Recording | None, wish: Wish) -> Density:
    """What is wished for, or what was measured in ``recording``, or nothing known."""
    if run is None or recording is None or wish.density is not None:
        return constant(network, wish.density)
    return measured(network, run.inputs, recording)


def workload_of(network: Network | ChipNetwork, steps: int, core: HierarchyCore, density: Density) -> Workload:
    """The workload of a prepared float network or of a chip network."""
    if isinstance(network, ChipNetwork):
        return chip_workload(network, steps, density.sent)
    return network_workload(network, steps, core.bits.v, density.sent)


def _core(core: HierarchyCore, wish: Wish) -> HierarchyCore:
    """``core`` with the widths that are wished for."""
    given = {"weight": wish.weight_bits, "state": wish.state_bits}
    precision = core.bits.v.model_copy(update={name: bits for name, bits in given.items() if bits is not None})
    return core.model_copy(update={"bits": core.bits.model_copy(update={"v": precision})})


def _wanted(wish: Wish, workload: Workload, core: HierarchyCore) -> Point:
    """The schedule that was asked for by name."""
    assert wish.schedule is not None
    schedule = parse_schedule(wish.schedule, workload)
    planned(workload, schedule, core, wish.rules)  # says why, where it is impossible
    point = Evaluator(workload, core, wish.rules)(schedule)
    assert point is not None
    return point


def _to_elide(
    network: Network | ChipNetwork, workload: Workload, wish: Wish, run: _Data | None
) -> list[tuple[str, ...]]:
    """Which layers are tried without states: with data each by itself, and those that are asked for together."""
    stateful = [layer.name for layer in workload.layers if layer.stateful and can_elide(network, layer.name)]
    found = [(name,) for name in stateful] if run is not None else []
    return found + ([wish.elide] if wish.elide and wish.elide not in found else [])


def _elision(
    layers: tuple[str, ...], network: Network | ChipNetwork, run: _Data | None, steps: int, core: HierarchyCore,
    wish: Wish,
) -> Elision:  # fmt: skip
    """The network without the states of ``layers``, with what it sends itself on the data."""
    variant = without_states(network, layers)
    after = None if run is None else run.of(variant)
    shorter = workload_of(variant, steps, core, _density(variant, run, after, wish))
    best = search(Evaluator(shorter, core, wish.rules), wish.objective).best
    elided = Elision(layers, shorter.state_bits, best.dram_bits, best.energy_pj)
    if run is None or after is None:
        return elided
    return compared(network, run.recording, after, run.labels, elided)


def _labels(labels: ArrayLike, samples: int) -> Array:
    given = np.asarray(labels)
    if given.shape != (samples,) or given.dtype.kind not in "iu":
        text = f"they have shape {given.shape} and type {given.dtype}, the data hold {samples} samples"
        raise error("RV542", "labels", text, f"give one class number per sample: shape ({samples},)")
    return given


def _layers_json(plan: Plan, found: Costs) -> list[Mapping[str, object]]:
    return [
        {
            "layer": node.name,
            "density": node.density if isinstance(node, Layer) else None,
            "dram_bits": {role.name.lower(): m.bits for (name, role), m in plan.moved.items() if name == node.name},
            "dram_pj": {
                role.name.lower(): dram_pj(m, plan.core) for (name, role), m in plan.moved.items() if name == node.name
            },
            "energy_pj": found.levels(node.name),
            "memory_pj": found.operands(node.name),
        }
        for node in plan.workload.nodes
    ]


def layer_bits(plan: Plan, name: str, roles: Sequence[Role]) -> int:
    """Off-chip bits of these operands of one layer."""
    return sum(plan.moved[name, role].bits for role in roles if (name, role) in plan.moved)
