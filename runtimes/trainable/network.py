"""A chip network as a torch module: forward is the deployed program to the bit, backward trains it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, Population, Port
from ranvier.compiler.ir.programs import INPUT_SHIFT
from ranvier.runtimes.recording import check_inputs
from ranvier.runtimes.simulator.plan import Plan, lower
from ranvier.runtimes.trainable.arithmetic import rounded
from ranvier.runtimes.trainable.neurons import Cells, summed
from ranvier.runtimes.trainable.synapses import Synapses

KINDS = ("weight", "threshold", "bias", "decay")
SLOPE = 5.0


@dataclass(frozen=True)
class Group:
    """Layers that a loop leads through, or one that is in none.

    ``block`` steps may run layer by layer; 0 stands for any number.
    """

    names: tuple[str, ...]
    block: int


class TrainableNetwork(nn.Module):
    """``chip`` with parameters: what ``forward`` gives are the integers of the deployed network.

    ``forward(frames)`` takes (samples, steps, *shape) as the port does and returns what the readout population sent
    (samples, steps, *shape), or its membrane in units of the source where the readout reads membranes. ``trained``
    names what is trained: weight, threshold, bias, decay. ``slope`` is that of the surrogate gradient, in units of the
    threshold. With ``keep_zeros`` weights of zero stay zero. ``deployed()`` is the chip network with the integers of
    now. Raises ``RanvierError`` for other names and for data that do not fit the port.
    """

    def __init__(
        self, chip: ChipNetwork, trained: Sequence[str] = KINDS[:3], slope: float = SLOPE, keep_zeros: bool = False
    ) -> None:
        super().__init__()
        _check(trained, slope)
        plan = lower(chip)
        self.chip, self.groups = chip, groups(plan)
        self.delays = {c.name: chip.network_delay(c) for c in chip.connections}
        self.cells = nn.ModuleDict({_key(p.name): Cells(p, trained, slope) for p in chip.populations})
        self.synapses = nn.ModuleDict(
            {_key(c.name): Synapses(c, _unit(chip, c), "weight" in trained, keep_zeros) for c in chip.connections}
        )

    def forward(self, frames: Tensor) -> Tensor:
        """The readout's values for ``frames``, as the class says."""
        sent, membrane = self.traces(frames)
        readout = self.chip.readout
        read = self.chip.by_name[readout.node]
        assert isinstance(read, Population)
        scale = torch.as_tensor(np.asarray(read.scale * read.gain, np.float64).copy())
        values = sent[read.name] if readout.reads_spikes else membrane[read.name] / scale
        return values.reshape(*values.shape[:2], *read.shape)

    def traces(self, frames: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What every population sent, and its membranes before reset: (samples, steps, neurons), chip units."""
        port = self.chip.ports[0]
        check_inputs(frames.detach().numpy(), self.chip)
        traces = _Traces(
            len(frames), frames.shape[1], {c.name: self._synapses(c.name).weight() for c in self.chip.connections}
        )
        traces.sent[port.name] += _entering(port, frames).unbind(1)
        for group in self.groups:
            self._run(group, traces)
        names = [p.name for p in self.chip.populations]
        sent, membranes = ({n: torch.stack(v[n], 1) for n in names} for v in (traces.sent, traces.membranes))
        return sent, membranes

    def _run(self, group: Group, traces: "_Traces") -> None:
        """All steps of ``group``: what comes from outside it at once, what loops within it block by block."""
        block, steps = group.block or traces.steps, range(traces.steps)
        params = {name: self._cells(name).parameters_now() for name in group.names}
        states = {name: self._cells(name).start(traces.samples, params[name]) for name in group.names}
        inner = {n: [c for c in self.chip.into[n] if c.source in group.names] for n in group.names}
        outer = {n: self._outer(n, [c for c in self.chip.into[n] if c not in inner[n]], traces) for n in group.names}
        blocks = {name: torch.split(total, block, 1) for name, total in outer.items()}
        for number, first in enumerate(steps[::block]):
            now = steps[first : first + block]
            for name in group.names:
                cells = self._cells(name)
                arriving = [blocks[name][number], *(self._brought(c, now, traces) for c in inner[name])]
                traces.add(name, *cells.advance(states[name], params[name], arriving))

    def _outer(self, name: str, connections: Sequence[Connection], traces: "_Traces") -> Tensor:
        """What ``connections`` bring to the population ``name`` in all steps."""
        nothing = torch.zeros(traces.samples, traces.steps, self._cells(name).population.size, dtype=torch.float64)
        return summed([self._brought(c, range(traces.steps), traces) for c in connections] or [nothing])

    def _brought(self, connection: Connection, steps: range, traces: "_Traces") -> Tensor:
        """What ``connection`` brings in ``steps``: (samples, steps, neurons); nothing was sent before step 0."""
        source, sent = self.chip.by_name[connection.source], traces.sent[connection.source]
        silent = torch.zeros(traces.samples, size(source.shape), dtype=torch.float64)
        sources = (t - self.delays[connection.name] for t in steps)
        due = torch.stack([sent[t] if t >= 0 else silent for t in sources], 1)
        return self._synapses(connection.name)(due, traces.weights[connection.name])  # type: ignore[no-any-return]

    def deployed(self) -> ChipNetwork:
        """The chip network with the integers that the parameters stand for now."""
        return replace(
            self.chip,
            populations=tuple(self._cells(p.name).deployed() for p in self.chip.populations),
            connections=tuple(self._synapses(c.name).deployed() for c in self.chip.connections),
        )

    def _cells(self, name: str) -> Cells:
        found = self.cells[_key(name)]
        assert isinstance(found, Cells)
        return found

    def _synapses(self, name: str) -> Synapses:
        found = self.synapses[_key(name)]
        assert isinstance(found, Synapses)
        return found


@dataclass
class _Traces:
    """What has happened so far, step by step, and the integer weights by connection."""

    samples: int
    steps: int
    weights: Mapping[str, Tensor]
    sent: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    membranes: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, sent: Tensor, membranes: Tensor) -> None:
        """Append what ``name`` did in some steps: (samples, steps, neurons)."""
        self.sent[name] += sent.unbind(1)
        self.membranes[name] += membranes.unbind(1)


def groups(plan: Plan) -> tuple[Group, ...]:
    """The layers of ``plan`` in running order, those together that a loop leads through."""
    position = {layer.name: i for i, layer in enumerate(plan.layers)} | {plan.source.name: -1}
    ends = [(position[k.target], position[k.source], k.delay) for k in plan.links]
    backward = [(first, last, delay) for first, last, delay in ends if first <= last]
    found, first = [], 0
    while first < len(plan.layers):
        last = first
        while (reach := max((s for t, s, _ in backward if t <= last), default=last)) > last:
            last = reach
        names = tuple(layer.name for layer in plan.layers[first : last + 1])
        found.append(Group(names, min((d for t, _, d in backward if first <= t <= last), default=0)))
        first = last + 1
    return tuple(found)


def _entering(port: Port, frames: Tensor) -> Tensor:
    """The integers on the wires, (samples, steps, wires); real numbers are rounded to the payload's grid."""
    values = frames.to(torch.float64).reshape(*frames.shape[:2], size(port.shape))
    if port.bits == 0:
        return values
    limit = 2.0 ** (port.bits - 1) - 1
    return rounded(values * port.scale).clamp(-limit, limit)


def _unit(chip: ChipNetwork, connection: Connection) -> float:
    """Integer weight per weight of the source, so that parameters have the size that learning rates are used to."""
    source, target = chip.by_name[connection.source], chip.by_name[connection.target]
    assert isinstance(target, Population)
    payload = source.scale if isinstance(source, Port) else 1.0
    return float(np.mean(target.scale * target.gain)) / payload / 2.0 ** (INPUT_SHIFT + connection.exponent)


def _key(name: str) -> str:
    """``name`` as torch allows it for a submodule: without dots, and never empty."""
    return "_" + name.replace("_", "__").replace(".", "_dot_")


def _check(trained: Sequence[str], slope: float) -> None:
    unknown = [name for name in trained if name not in KINDS]
    if unknown or not trained:
        text = f"{', '.join(unknown)} cannot be trained" if unknown else "nothing is to be trained"
        raise error("RV860", "trained", text, f"choose among {', '.join(KINDS)}")
    if not slope > 0:
        raise error("RV861", "slope", f"the slope is {slope}", "give a positive slope of the surrogate gradient")
