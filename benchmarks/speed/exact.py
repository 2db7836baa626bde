"""The oracle for feed-forward networks of more synapses than a matrix can hold.

The same step programs, interpreted by the same numpy definition; only the sums of a convolution come from torch's
conv2d in float64, which is exact for integers below 2**53. They stay below every accumulator's width, which is checked.
"""

from typing import Any

import numpy as np
from benchmarks.speed.workloads import Workload
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import Connection, ConvSynapse, DenseSynapse, Population
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Neurons

Array = NDArray[Any]
MOST_SUM = 2**23 - 1


def convolved(workload: Workload, inputs: Array, floats: bool) -> dict[str, Array]:
    """``spikes:<population>`` and, of integers, ``<state>:<population>`` (samples, steps, ...), feed-forward.

    ``floats``: the float network, whose weights are the integers over (vth + 1/2), as ``workloads`` draws them.
    """
    samples, steps = inputs.shape[:2]
    kept: dict[str, Array] = {}
    states: dict[str, dict[str, Array]] = {}
    for t in range(steps):
        sent: dict[str, Array] = {workload.chip.ports[0].name: inputs[:, t].reshape(samples, -1).astype(np.float64)}
        for p in workload.chip.populations:
            total = sum((_sum(c, sent[c.source]) for c in workload.chip.into[p.name]), np.zeros((samples, p.size)))
            program, params, initial = _program(workload, p, floats)
            number = np.float64 if floats else np.int64
            if floats:
                total = total / (float(p.params["vth"]) + 0.5)
            before = states.setdefault(p.name, {s: np.zeros((samples, p.size), number) + v for s, v in initial.items()})
            result = step(program, before, params, total.astype(number))
            states[p.name] = {name: np.asarray(value) for name, value in result.states.items()}
            sent[p.name] = np.asarray(result.spikes, np.float64)
            tracks = {"spikes": sent[p.name].astype(np.int8)} | ({} if floats else states[p.name])
            for name, value in tracks.items():
                space = kept.setdefault(f"{name}:{p.name}", np.zeros((samples, steps, *p.shape), value.dtype))
                space[:, t] = value.reshape(samples, *p.shape)
    return kept


def _program(workload: Workload, p: Population, floats: bool) -> tuple[Any, Any, Any]:
    if not floats:
        return p.program, p.params, p.initial
    assert workload.network is not None
    node = workload.network.by_name[p.name]
    assert isinstance(node, Neurons)
    made = realised(node.model)
    return made.program, made.params, made.initial


def _sum(connection: Connection, sent: Array) -> Array:
    """The exact sums that ``connection`` brings, (samples, targets)."""
    import torch  # noqa: PLC0415 - heavy

    synapse = connection.synapse
    assert connection.exponent == 0
    if isinstance(synapse, DenseSynapse):
        total = sent @ synapse.weight.T.astype(np.float64)
    else:
        assert isinstance(synapse, ConvSynapse)
        (top, bottom), (left, right) = synapse.padding
        assert (top, left) == (bottom, right)
        frames = torch.from_numpy(sent.reshape(len(sent), *synapse.in_shape))
        weight = torch.from_numpy(synapse.weight.astype(np.float64))
        y = torch.nn.functional.conv2d(
            frames, weight, None, tuple(synapse.stride), (top, left), tuple(synapse.dilation), synapse.groups
        )
        total = y.numpy().reshape(len(sent), -1)
    assert np.abs(total).max() <= MOST_SUM, "a sum that an accumulator could not hold"
    return np.asarray(total)
