"""Moments: what calibration data send through every synapse of the float network, as its membranes filter it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.linear import Conv, Dense, Sparse, Synapse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import DECAY_UNITY

Values = NDArray[Any]
MAX_INPUTS = 1024
WORK = 1e9
RIDGE = 0.03
FRAMES = 512
MAX_FRAMES = 16384
MAX_OWN = 4e6
"""Entries of second moments up to which every row has its own."""
SEED = 5
SHARPNESS = 1.0


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The steps that enter the statistics of one population.

    ``steps``: (samples, steps) which; ``rate``: the share of steps in which the population fires; ``near``: (frames,
    neurons) the weight of each neuron's membrane in each of them, None where all count alike.
    """

    steps: Values
    rate: float
    near: Values | None

    @property
    def times(self) -> Values:
        """(frames,) the step number of each frame."""
        return np.repeat(np.arange(self.steps.shape[1]), self.steps.sum(axis=0))

    def frames(self, values: Values) -> Values:
        """(frames, size) what ``values`` (samples, steps, size) are in the steps that were drawn."""
        return np.concatenate([values[self.steps[:, t], t] for t in range(values.shape[1])])


def moments(
    network: Network,
    sent: Mapping[str, Values],
    on_chip: Mapping[str, Values],
    margins: Mapping[str, Values] | None = None,
    sharpness: float = SHARPNESS,
) -> dict[str, Moments]:
    """Moments of every synapse of a folded ``network``; ``sent`` (samples, steps, size) by input and population.

    ``on_chip``: the same as sent by quantized senders; what it lacks is taken from ``sent``, and what returns through
    a loop, where one early difference would change all that follows. A reset to a value
    forgets, so the membrane's filter forgets in the share of steps in which the targets fire. Samples, steps and
    positions are drawn with a fixed seed where there are more than statistics need.

    ``margins``: (samples, steps, size) by population how far each membrane is from its threshold, in thresholds. An
    error there changes a spike, far below it changes nothing: a step weighs ``1 / (1 + sharpness |margin|)**2``, for
    each neuron by itself where second moments of each fit into memory, else on average.
    """
    found: dict[str, Moments] = {}
    for population in _entered(network):
        drawn, pairs = _seen(network, population, sent, on_chip, (margins or {}).get(population.name), sharpness)
        found |= {s.name: _moments(s, population.model, pair, drawn) for s, pair in pairs}
    return found


def joint_moments(
    network: Network,
    sent: Mapping[str, Values],
    on_chip: Mapping[str, Values],
    margins: Mapping[str, Values],
    sharpness: float,
) -> dict[str, Values]:
    """(rows, inputs, inputs) by population what ``moments`` finds for all its synapses together.

    About the mean; for populations with several dense synapses whose moments fit into memory.
    """
    found = {}
    for population in _entered(network):
        drawn, pairs = _seen(network, population, sent, on_chip, margins.get(population.name), sharpness)
        inputs = sum(pair[1].shape[-1] for _, pair in pairs)
        few = size(population.shape) * inputs**2 <= MAX_OWN
        if len(pairs) > 1 and few and drawn.near is not None and all(isinstance(s, Dense) for s, _ in pairs):
            parts = [_filtered(population.model, pair[1], drawn, rounded=True) for _, pair in pairs]
            z = np.concatenate(parts, axis=1)[None]
            weights = _weights(pairs[0][0], z, drawn)
            found[population.name] = _products(z, z, weights)
    return found


def _entered(network: Network) -> list[Neurons]:
    """The populations at which synapses end; others fire by their bias alone."""
    return [population for population in network.populations if network.into[population.name]]


def _seen(
    network: Network,
    population: Neurons,
    sent: Mapping[str, Values],
    on_chip: Mapping[str, Values],
    margins: Values | None,
    sharpness: float,
) -> tuple[_Drawn, list[tuple[Synapse, tuple[Values, Values]]]]:
    """The steps drawn for ``population``, and what its synapses' senders send: in the source, on the chip."""
    pairs: list[tuple[Synapse, tuple[Values, Values]]] = []
    for edge in network.into[population.name]:
        synapse = network.by_name[edge.source]
        assert isinstance(synapse, Synapse)
        entry = network.into[synapse.name][0]
        own = sent[entry.source]
        pairs.append((synapse, (own, own if entry.delay else on_chip.get(entry.source, own))))
    rate = float(np.count_nonzero(sent[population.name]) / max(sent[population.name].size, 1))
    drawn = _Drawn(_steps(pairs, size(population.shape)), rate, None)
    return replace(drawn, near=_near(drawn, margins, sharpness)), pairs


def _near(drawn: _Drawn, margins: Values | None, sharpness: float) -> Values | None:
    if margins is None:
        return None
    return np.asarray((1.0 + sharpness * np.abs(drawn.frames(margins).astype(np.float32))) ** -2.0)


def _moments(synapse: Synapse, model: Any, sent: tuple[Values, Values], drawn: _Drawn) -> Moments:
    frames = [_filtered(model, sent[n], drawn, rounded=n == 1) for n in (0, 1)]
    wanted, z = (_rows(synapse, part) for part in frames)
    weights = _weights(synapse, z, drawn)
    seen = _steady(model, drawn, weights, z)
    filtered = _mean(z, weights)
    mean, wanted_mean = filtered * seen, _mean(wanted, weights) * seen
    if isinstance(synapse, Sparse):
        at = synapse.indices
        return Moments(mean[:, at], np.zeros((1, at.size)), _mean(z**2, weights)[:, at], wanted_mean[:, at])
    if z.shape[-1] > MAX_INPUTS:
        return Moments(mean, filtered, _mean(z**2, weights), wanted_mean)
    second, cross = _products(z, z, weights), _products(wanted, z, weights)
    return Moments(mean, filtered, second, wanted_mean, _aligned(cross, second))


def _weights(synapse: Synapse, z: Values, drawn: _Drawn) -> Values:
    """(groups or rows, frames) how much every row of ``z`` (groups, frames, inputs) counts: 1 on average."""
    groups, frames, inputs = z.shape
    if drawn.near is None:
        return np.ones((groups, frames), np.float32)
    near = _positions(synapse, drawn.near).T if isinstance(synapse, Conv) else drawn.near.T
    few = len(near) * inputs**2 <= MAX_OWN and not isinstance(synapse, Sparse)
    weights = near if few else near.reshape(groups, -1, frames).mean(axis=1)
    return np.asarray(weights / weights.mean(axis=1, keepdims=True))


def _mean(values: Values, weights: Values) -> Values:
    """(groups or rows, inputs) weighted means of ``values`` (groups, frames, inputs)."""
    each = len(weights) // len(values)
    parts = [weights[g * each : (g + 1) * each] @ x / x.shape[0] for g, x in enumerate(values)]
    return np.concatenate(parts)


def _products(left: Values, right: Values, weights: Values) -> Values:
    """(groups or rows, inputs, inputs) weighted means of the products of ``left`` and ``right``."""
    each = len(weights) // len(left)
    return np.stack([(left[n // each] * w[:, None]).T @ right[n // each] / len(w) for n, w in enumerate(weights)])


def _steady(model: Any, drawn: _Drawn, weights: Values, z: Values) -> Values:
    """(groups or rows, 1) the constant input whose effect on the membrane is that of a filtered mean of one."""
    slow, keep = _decays(model, drawn.rate, rounded=True)
    since = np.cumsum(keep ** np.arange(drawn.steps.shape[1]))[drawn.times]
    since = np.repeat(since, z.shape[1] // since.size)
    return np.asarray((1.0 - slow if slow < 1 else 1.0) / (weights @ since / since.size)[:, None])


def _steps(pairs: Sequence[tuple[Synapse, tuple[Values, Values]]], neurons: int) -> Values:
    """(samples, steps) the steps that enter the statistics, at least one."""
    shape = pairs[0][1][0].shape[:2]
    inputs = max(pair[0].shape[-1] for _, pair in pairs)
    frames = FRAMES
    if not any(isinstance(s, Conv) for s, _ in pairs):
        frames = max(4 * FRAMES, 4 * inputs, min(int(WORK / (neurons * inputs**2)), MAX_FRAMES))
    drawn = np.asarray(np.random.default_rng(SEED).random(shape) < frames / (shape[0] * shape[1]))
    drawn[0, -1] = True
    return drawn


def _aligned(cross: Values, second: Values) -> Values:
    """(groups, inputs, inputs) A with w A z near w z* in the mean square, held near the identity by a ridge."""
    size_ = second.shape[-1]
    ridge = RIDGE * np.trace(second, axis1=1, axis2=2)[:, None, None] / size_ * np.eye(size_) + 1e-12 * np.eye(size_)
    return np.asarray(np.linalg.solve(second + ridge, (cross + ridge).transpose(0, 2, 1)).transpose(0, 2, 1))


def _decays(model: Any, rate: float, rounded: bool) -> tuple[float, float]:
    """What current and membrane keep of their filter's state; ``rounded``: as the chip's registers hold it."""
    slow, keep = 0.0, 0.0
    if isinstance(model, Lif):
        slow, keep = float(np.mean(model.keep_current)), float(np.mean(model.keep_membrane))
    if rounded:
        slow, keep = (round(x * DECAY_UNITY) / DECAY_UNITY for x in (slow, keep))
    return slow, keep * (1.0 - min(rate, 1.0)) if getattr(model, "reset", "") == "value" else keep


def _filtered(model: Any, sent: Values, drawn: _Drawn, rounded: bool) -> Values:
    """(frames, size) of ``sent`` in the steps that were drawn, filtered as the membrane does it."""
    slow, keep = _decays(model, drawn.rate, rounded)
    current = np.zeros((sent.shape[0], sent.shape[2]), np.float32)
    membrane, filtered = np.zeros_like(current), []
    for t in range(sent.shape[1]):
        current = slow * current + sent[:, t]
        membrane = keep * membrane + current
        filtered.append(membrane[drawn.steps[:, t]])
    return np.concatenate(filtered)


def _rows(synapse: Synapse, frames: Values) -> Values:
    """(groups, rows, inputs) of ``frames`` (frames, size): what one neuron of the synapse's target sees."""
    return _patches(synapse, frames) if isinstance(synapse, Conv) else frames[None]


def _places(conv: Conv, frames: int) -> Values:
    """(2, frames, each) the output positions that are drawn for every frame."""
    rng = np.random.default_rng(SEED)
    rows = int(max(WORK / (conv.weight.shape[0] * _kernel_inputs(conv) ** 2), 2 * _kernel_inputs(conv)))
    each = max(1, min(size(conv.out_shape[1:]), rows // max(frames, 1)))
    return np.stack([rng.integers(0, n, (frames, each)) for n in conv.out_shape[1:]])


def _kernel_inputs(conv: Conv) -> int:
    return conv.in_shape[0] // conv.groups * size(conv.kernel)


def _positions(conv: Conv, near: Values) -> Values:
    """(frames * each, channels) of ``near`` (frames, neurons) at the positions that are drawn."""
    y, x = _places(conv, len(near))
    seen = near.reshape(-1, *conv.out_shape)[np.arange(len(near))[:, None], :, y, x]
    return np.asarray(seen.reshape(-1, conv.out_shape[0]))


def _patches(conv: Conv, frames: Values) -> Values:
    """(groups, rows, channels of a group * kernel) seen by output positions that are drawn for each frame."""
    padded = np.pad(frames.reshape(-1, *conv.in_shape), ((0, 0), (0, 0), *conv.padding))
    taps = np.indices(conv.kernel).reshape(2, -1) * np.array(conv.dilation)[:, None]
    corner = _places(conv, len(frames)) * np.array(conv.stride)[:, None, None]
    y, x = (corner[axis][:, :, None] + taps[axis] for axis in (0, 1))
    seen = padded[np.arange(len(frames))[:, None, None], :, y, x]
    grouped = seen.reshape(-1, taps.shape[1], conv.groups, conv.in_shape[0] // conv.groups)
    return np.ascontiguousarray(grouped.transpose(2, 0, 3, 1).reshape(conv.groups, -1, _kernel_inputs(conv)))
