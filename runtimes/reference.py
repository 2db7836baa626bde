"""The reference executor of float networks: every layer as imported, in float64, step by step.

Plain and literal (each linear layer is its matrix, each neuron its interpreted step program), for
networks at any level before quantization. The simulator runs folded networks faster; this one says what
they must equal, and checks an import against its framework before any pass has touched it.
"""

import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.linear import Linear
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.order import evaluation_order
from ranvier.runtimes.recording import LayerStats, Recording, Records, check_inputs, flat_frames, predict

Values = NDArray[Any]


class _Population:
    """One population's program, parameters and state over a batch."""

    def __init__(self, node: Neurons, samples: int) -> None:
        shape = (samples, int(np.prod(node.shape)))
        made = realised(node.model)
        self.program, self.params = made.program, made.params
        number = np.float64 if self.program.domain == "float" else np.int64
        self.states: dict[str, Values] = {
            name: np.broadcast_to(np.asarray(value, number), shape).copy() for name, value in made.initial.items()
        }

    def advance(self, current: Values) -> tuple[Values, Values]:
        """Spikes and membrane before reset of this step."""
        typed = current if self.program.domain == "float" else np.rint(current).astype(np.int64)
        result = step(self.program, self.states, self.params, typed)
        self.states = {name: np.asarray(value) for name, value in result.states.items()}
        return np.asarray(result.spikes, dtype=np.float64), np.asarray(result.membrane)


class _Run:
    def __init__(self, network: Network, samples: int) -> None:
        self.network, self.order = network, evaluation_order(network)
        self.matrices = {op.name: linear_matrix(op) for op in network.linears}
        self.offsets = {op.name: linear_offset(op) for op in network.linears}
        self.populations = {p.name: _Population(p, samples) for p in network.populations}
        deepest = max((e.delay for e in network.edges), default=0)
        self.history: deque[dict[str, Values]] = deque(maxlen=deepest + 1)
        self.samples = samples

    def advance(self, frame: Values) -> dict[str, Values]:
        """Membranes of all populations; what every node gave is ``history[0]``."""
        now: dict[str, Values] = {}
        self.history.appendleft(now)
        membranes: dict[str, Values] = {}
        for name in self.order:
            node = self.network.by_name[name]
            if isinstance(node, Input):
                now[name] = frame
            elif isinstance(node, Neurons):
                now[name], membranes[name] = self.populations[name].advance(
                    self._arriving(name, int(np.prod(node.shape)))
                )
            else:
                now[name] = self._linear(node)
        return membranes

    def _linear(self, op: Linear) -> Values:
        x = self._arriving(op.name, op.in_size)
        return np.asarray((self.matrices[op.name] @ x.T).T + self.offsets[op.name])

    def _arriving(self, name: str, width: int) -> Values:
        total = np.zeros((self.samples, width))
        for edge in self.network.into[name]:
            if edge.delay < len(self.history):
                total = total + self.history[edge.delay][edge.source]
        return total


def run(network: Network, inputs: Values, record: Records = ()) -> Recording:
    """Run ``network`` on ``inputs`` (samples, steps, *shape) in float64 with the source's own timing.

    Linear layers between populations apply their bias also where a delayed edge has brought nothing yet, as
    the frameworks do. Raises ``RanvierError`` when the inputs do not fit.
    """
    started = time.perf_counter()
    check_inputs(inputs, network)
    frames = flat_frames(np.asarray(inputs, np.float64), network.inputs[0].shape)
    samples, steps = frames.shape[:2]
    run_ = _Run(network, samples)
    shapes = {p.name: (samples, steps, *p.shape) for p in network.populations}
    spikes = {name: np.zeros(shape) for name, shape in shapes.items()}
    membrane = {name: np.zeros(shape) for name, shape in shapes.items()}
    states: dict[str, dict[str, Values]] = {
        name: {s: np.zeros(shapes[name]) for s in p.states} for name, p in run_.populations.items()
    }
    for t in range(steps):
        membranes = run_.advance(frames[:, t])
        for name, shape in shapes.items():
            cut = (samples, *shape[2:])
            spikes[name][:, t] = run_.history[0][name].reshape(cut)
            membrane[name][:, t] = membranes[name].reshape(cut)
            for s, value in run_.populations[name].states.items() if "states" in record else ():
                states[name][s][:, t] = value.reshape(cut)
    read = spikes if network.readout.reads_spikes else membrane
    outputs = read[network.readout.node]
    stats = {n: LayerStats(int(np.prod(shapes[n][2:])), int(np.count_nonzero(s)), 0) for n, s in spikes.items()}
    return Recording(
        outputs,
        predict(network.readout, outputs),
        spikes if "spikes" in record else {},
        membrane if "membrane" in record else {},
        states if "states" in record else {},
        stats,
        (),
        time.perf_counter() - started,
    )
