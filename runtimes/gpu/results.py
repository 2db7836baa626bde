"""What came back from the device, piece by piece, until it is a recording."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.recording import LayerStats, OverflowEvent, Recording, Records, predict
from ranvier.runtimes.simulator.plan import Layer, Plan

if TYPE_CHECKING:
    from ranvier.runtimes.gpu.piece import Piece

Values = NDArray[Any]


class Results:
    """Recorded values, counts and overflow events over the pieces finished so far."""

    def __init__(self, plan: Plan, samples: int, steps: int, record: Records) -> None:
        self.plan, self.record, self.steps = plan, record, steps
        read = plan.readout.node
        lead = (samples, steps)
        self.sent: dict[str, Values] = {}
        self.membrane: dict[str, Values] = {}
        self.states: dict[str, Values] = {}
        for layer in plan.layers:
            shape = (*lead, layer.size)
            if "spikes" in record or (layer.name == read and plan.readout.reads_spikes):
                self.sent[layer.name] = np.empty(shape, layer.sends)
            if "membrane" in record or (layer.name == read and not plan.readout.reads_spikes):
                self.membrane[layer.name] = np.empty(shape, np.int64)
            if "states" in record:
                self.states[layer.name] = np.empty((len(layer.program.states), *shape), np.int64)
        self.fired: dict[str, Values] = {}
        self.events: dict[tuple[str, str], OverflowEvent] = {}

    def add(self, start: int, piece: "Piece", frames: Values) -> None:
        """Add a piece that began at sample ``start`` with ``frames`` (samples, steps, wires) at the port."""
        stop = start + frames.shape[0]
        self._fired(self.plan.source.name, np.count_nonzero(frames, axis=(0, 1)))
        for layer in self.plan.layers:
            name = layer.name
            if name in self.sent:
                self.sent[name][start:stop] = piece.sent[name].cpu().numpy()
            if name in self.membrane:
                self.membrane[name][start:stop] = piece.membrane[name].cpu().numpy()
            if name in self.states:
                self.states[name][:, start:stop] = piece.kept[name].cpu().numpy()
            self._fired(name, piece.fired[name].cpu().numpy().sum(axis=0, dtype=np.int64))
            places = piece.network.populations[name].places
            for where, (count, key) in zip(places, piece.events[name].cpu().tolist(), strict=True):
                if count:
                    self._note(layer, where, count, start, key)

    def _fired(self, name: str, counts: Values) -> None:
        self.fired[name] = self.fired.get(name, np.zeros_like(counts)) + counts

    def _note(self, layer: Layer, where: str, count: int, start: int, key: int) -> None:
        """Add ``count`` events whose first is at ``key`` = (sample * steps + step) * neurons + neuron of the piece."""
        frame, neuron = divmod(key, layer.size)
        sample, step = divmod(frame, self.steps)
        event = OverflowEvent(layer.name, where, count, start + sample, step, neuron)
        earlier = self.events.get((layer.name, where))
        if earlier is not None:
            total = earlier.count + count
            event = OverflowEvent(layer.name, where, total, earlier.sample, earlier.step, earlier.neuron)
        self.events[layer.name, where] = event

    def recording(self, seconds: float) -> Recording:
        """Everything together."""
        shapes = {layer.name: layer.shape for layer in self.plan.layers}
        sent = {n: _shaped(v, shapes[n]) for n, v in self.sent.items()}
        membrane = {n: _shaped(v, shapes[n]) for n, v in self.membrane.items()}
        states = {
            layer.name: {
                s.name: _shaped(v, layer.shape)
                for s, v in zip(layer.program.states, self.states[layer.name], strict=True)
            }
            for layer in self.plan.layers
            if layer.name in self.states
        }
        outputs = (sent if self.plan.readout.reads_spikes else membrane)[self.plan.readout.node].astype(np.int64)
        return Recording(
            outputs,
            predict(self.plan.readout, outputs),
            sent if "spikes" in self.record else {},
            membrane if "membrane" in self.record else {},
            states,
            {layer.name: self._stats(layer) for layer in self.plan.layers},
            tuple(sorted(self.events.values(), key=lambda e: (e.sample, e.step, e.population, e.neuron, e.where))),
            seconds,
        )

    def _stats(self, layer: Layer) -> LayerStats:
        operations = sum(int(self.fired[k.source] @ k.scatter.fan_out) for k in self.plan.into[layer.name])
        return LayerStats(layer.size, int(self.fired[layer.name].sum()), operations)


def _shaped(values: Values, shape: tuple[int, ...]) -> Values:
    return values.reshape(*values.shape[:2], *shape)
