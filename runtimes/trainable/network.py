"""A chip network as a torch module: forward is the deployed program to the bit, backward trains it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, Population, Port
from ranvier.compiler.ir.programs import INPUT_SHIFT
from ranvier.runtimes.recording import check_inputs
from ranvier.runtimes.simulator.plan import lower
from ranvier.runtimes.trainable.arithmetic import rounded
from ranvier.runtimes.trainable.neurons import Cells
from ranvier.runtimes.trainable.synapses import Synapses

KINDS = ("weight", "threshold", "bias", "decay")
SLOPE = 5.0


class TrainableNetwork(nn.Module):
    """``chip`` with parameters: what ``forward`` gives are the integers of the deployed network.

    ``forward(frames)`` takes (samples, steps, *shape) as the port does and returns what the readout population sent
    (samples, steps, *shape), or its membrane in units of the source where the readout reads membranes. ``trained``
    names what is trained: weight, threshold, bias, decay. ``slope`` is that of the surrogate gradient, in units of the
    threshold. ``deployed()`` is the chip network with the integers of now. Raises ``RanvierError`` for other names and
    for data that do not fit the port.
    """

    def __init__(self, chip: ChipNetwork, trained: Sequence[str] = KINDS[:3], slope: float = SLOPE) -> None:
        super().__init__()
        _check(trained, slope)
        plan = lower(chip)
        self.chip, self.block = chip, plan.longest_block
        self.order = [layer.name for layer in plan.layers]
        self.delays = {link.name: link.delay for link in plan.links}
        self.cells = nn.ModuleDict({_key(p.name): Cells(p, trained, slope) for p in chip.populations})
        self.synapses = nn.ModuleDict(
            {_key(c.name): Synapses(c, _unit(chip, c), "weight" in trained) for c in chip.connections}
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
        samples, steps = frames.shape[:2]
        states = {name: self._cells(name).start(samples) for name in self.order}
        sent: dict[str, list[Tensor]] = {name: [] for name in self.order}
        membranes: dict[str, list[Tensor]] = {name: [] for name in self.order}
        sent[port.name] = list(_entering(port, frames).unbind(1))
        for first in range(0, steps, self.block or steps):
            now = range(first, min(first + (self.block or steps), steps))
            for name in self.order:
                cells, into = self._cells(name), self.chip.into[name]
                arriving = [self._arriving(c, sent[c.source], now, samples) for c in into]
                nothing = torch.zeros(samples, len(now), cells.population.size, dtype=torch.float64)
                for spikes, membrane in cells.advance(states[name], arriving or [nothing]):
                    sent[name].append(spikes)
                    membranes[name].append(membrane)
        return ({n: torch.stack(v, 1) for n, v in sent.items()}, {n: torch.stack(v, 1) for n, v in membranes.items()})

    def deployed(self) -> ChipNetwork:
        """The chip network with the integers that the parameters stand for now."""
        return replace(
            self.chip,
            populations=tuple(self._cells(p.name).deployed() for p in self.chip.populations),
            connections=tuple(self._synapses(c.name).deployed() for c in self.chip.connections),
        )

    def _arriving(self, connection: Connection, sent: list[Tensor], steps: range, samples: int) -> Tensor:
        """What ``connection`` brings in ``steps``: (samples, steps, neurons); nothing was sent before step 0."""
        source = self.chip.by_name[connection.source]
        silent = torch.zeros(samples, size(source.shape), dtype=torch.float64)
        sources = [t - self.delays[connection.name] for t in steps]
        frames = torch.stack([sent[t] if t >= 0 else silent for t in sources], 1)
        return self._synapses(connection.name)(frames.flatten(0, 1)).reshape(samples, len(steps), -1)  # type: ignore[no-any-return]

    def _cells(self, name: str) -> Cells:
        found = self.cells[_key(name)]
        assert isinstance(found, Cells)
        return found

    def _synapses(self, name: str) -> Synapses:
        found = self.synapses[_key(name)]
        assert isinstance(found, Synapses)
        return found


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
