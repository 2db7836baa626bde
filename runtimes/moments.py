"""Moments: what calibration data send through every synapse of the float network, as its membranes filter it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.linear import Conv, Sparse, Synapse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import DECAY_UNITY

Values = NDArray[Any]
MAX_INPUTS = 1024
WORK = 1e9
MAX_ROWS = 8192
RIDGE = 0.03
FRAMES = 512
SEED = 5


def moments(network: Network, sent: Mapping[str, Values], on_chip: Mapping[str, Values]) -> dict[str, Moments]:
    """Moments of every synapse of a folded ``network``; ``sent`` (samples, steps, size) by input and population.

    ``on_chip``: the same as sent by quantized senders; what it lacks is taken from ``sent``, and what returns through
    a loop, where one early difference would change all that follows. A reset to a value
    forgets, so the membrane's filter forgets in the share of steps in which the targets fire. Samples, steps and
    positions are drawn with a fixed seed where there are more than statistics need.
    """
    found = {}
    for population in network.populations:
        rate = float(np.count_nonzero(sent[population.name]) / max(sent[population.name].size, 1))
        for edge in network.into[population.name]:
            synapse = network.by_name[edge.source]
            assert isinstance(synapse, Synapse)
            entry = network.into[synapse.name][0]
            own = sent[entry.source]
            pair = own, own if entry.delay else on_chip.get(entry.source, own)
            found[synapse.name] = _moments(synapse, population, pair, rate)
    return found


def _moments(synapse: Synapse, target: Neurons, sent: tuple[Values, Values], rate: float) -> Moments:
    drawn = _drawn(sent[0].shape[:2], FRAMES if isinstance(synapse, Conv) else max(4 * FRAMES, 4 * sent[0].shape[-1]))
    frames = (f for n in (0, 1) for f in _filtered(target.model, sent[n], rate, drawn, rounded=n == 1))
    wanted_raw, wanted, raw, z = (_rows(synapse, part) for part in frames)
    mean, filtered, square = raw.mean(axis=1), z.mean(axis=1), (z**2).mean(axis=1)
    if isinstance(synapse, Sparse):
        at = synapse.indices
        return Moments(mean[:, at], np.zeros((1, at.size)), square[:, at], wanted_raw.mean(axis=1)[:, at])
    if z.shape[-1] > MAX_INPUTS:
        return Moments(mean, filtered, square, wanted_raw.mean(axis=1))
    second = np.matmul(z.transpose(0, 2, 1), z) / z.shape[1]
    cross = np.matmul(wanted.transpose(0, 2, 1), z) / z.shape[1]
    return Moments(mean, filtered, second, wanted_raw.mean(axis=1), _aligned(cross, second))


def _aligned(cross: Values, second: Values) -> Values:
    """(groups, inputs, inputs) A with w A z near w z* in the mean square, held near the identity by a ridge."""
    size_ = second.shape[-1]
    ridge = RIDGE * np.trace(second, axis1=1, axis2=2)[:, None, None] / size_ * np.eye(size_) + 1e-12 * np.eye(size_)
    return np.asarray(np.linalg.solve(second + ridge, (cross + ridge).transpose(0, 2, 1)).transpose(0, 2, 1))


def _drawn(shape: tuple[int, ...], frames: int) -> Values:
    """(samples, steps) the steps that enter the statistics: about ``frames`` of them, at least one."""
    drawn = np.random.default_rng(SEED).random(shape) < frames / (shape[0] * shape[1])
    drawn[0, -1] = True
    return drawn


def _filtered(model: Any, sent: Values, rate: float, drawn: Values, rounded: bool) -> tuple[Values, Values]:
    """(frames, size) of ``sent`` in the ``drawn`` steps: as it is, and filtered as the membrane does it.

    ``rounded``: with the decays that the chip's registers hold.
    """
    slow, keep = 0.0, 0.0
    if isinstance(model, Lif):
        slow, keep = float(np.mean(model.keep_current)), float(np.mean(model.keep_membrane))
    if rounded:
        slow, keep = (round(x * DECAY_UNITY) / DECAY_UNITY for x in (slow, keep))
    if getattr(model, "reset", "") == "value":
        keep *= 1.0 - min(rate, 1.0)
    current = np.zeros((sent.shape[0], sent.shape[2]), np.float32)
    membrane, filtered = np.zeros_like(current), []
    for t in range(sent.shape[1]):
        current = slow * current + sent[:, t]
        membrane = keep * membrane + current
        filtered.append(membrane[drawn[:, t]])
    raw = np.concatenate([sent[drawn[:, t], t] for t in range(sent.shape[1])])
    return raw, np.concatenate(filtered)


def _rows(synapse: Synapse, frames: Values) -> Values:
    """(groups, rows, inputs) of ``frames`` (frames, size): what one neuron of the synapse's target sees."""
    return _patches(synapse, frames) if isinstance(synapse, Conv) else frames[None]


def _patches(conv: Conv, frames: Values) -> Values:
    """(groups, rows, channels of a group * kernel) seen by output positions that are drawn for each frame."""
    rng = np.random.default_rng(SEED)
    padded = np.pad(frames.reshape(-1, *conv.in_shape), ((0, 0), (0, 0), *conv.padding))
    per_group = conv.in_shape[0] // conv.groups
    inputs = per_group * size(conv.kernel)
    rows = int(min(MAX_ROWS, max(WORK / (conv.groups * inputs**2), 2 * inputs)))
    each = max(1, min(size(conv.out_shape[1:]), rows // max(len(frames), 1)))
    at = np.stack([rng.integers(0, n, (len(frames), each)) for n in conv.out_shape[1:]])
    taps = np.indices(conv.kernel).reshape(2, -1) * np.array(conv.dilation)[:, None]
    corner = at * np.array(conv.stride)[:, None, None]
    y, x = (corner[axis][:, :, None] + taps[axis] for axis in (0, 1))
    which = np.arange(len(frames))[:, None, None]
    seen = padded[which, :, y, x]
    grouped = seen.reshape(-1, taps.shape[1], conv.groups, per_group)
    return np.ascontiguousarray(grouped.transpose(2, 0, 3, 1).reshape(conv.groups, -1, inputs))
