"""Input coding: how a static sample, or a signal, becomes the frames that enter a network step by step.

A coder is a frozen dataclass and a node of the IR: it stands at the ``Input`` of a network and at the ``Port`` of a
chip network. ``encode`` is its meaning: samples x (samples, *sample) to frames (samples, steps, *frame), where t
counts the steps from 0. ``direct`` keeps real numbers; the others send 0 and 1, and all but ``delta`` and ``direct``
want x from 0 to 1. Survey: Auge et al., Neural Processing Letters 2021; each coder names a source of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape, size

Frames = NDArray[np.float32] | NDArray[np.int8]
Values = NDArray[np.float64]
MAX_FRAME_BYTES = 2**33
MOST = 2**20


@dataclass(frozen=True)
class Direct:
    """The sample itself in every step, ``frame[t] = x``: the coding with the least noise.

    Source: Rueckauer et al., Frontiers in Neuroscience 2017.
    """

    steps: int


@dataclass(frozen=True)
class Rate:
    """In each step a spike with probability x: ``frame[t] = (r[t] < x)`` with r drawn evenly from 0 to 1.

    The r of sample number i, steps first, are the upper 53 bits of the outputs of Philox4x64-10 with the key (``seed``,
    i): they depend on nothing else, and a shorter run sees the beginning of a longer one.
    Source of the generator: Salmon et al., SC 2011.
    """

    steps: int
    seed: int = 0


@dataclass(frozen=True)
class Latency:
    """One spike, the earlier the larger: in step ``rint((1 - x) (steps - 1))``, none for x = 0.

    Source: Thorpe, Delorme and Van Rullen, Neural Networks 2001.
    """

    steps: int


@dataclass(frozen=True)
class Delta:
    """Changes of a signal (steps, channels, ...) as frames of twice the channels: first the rises, then the falls.

    A reference r starts at 0 and follows the signal by ``threshold`` for each spike: a rise is sent where
    ``x[t] - r >= threshold``, a fall where ``r - x[t] >= threshold``, at most one of them in a step.
    Source: Petro, Kasabov and Kiss, IEEE Transactions on Neural Networks and Learning Systems 2020 (step forward).
    """

    steps: int
    threshold: float


@dataclass(frozen=True)
class Phase:
    """The binary digits of ``rint(x (2**bits - 1))``, most significant first, again and again.

    A spike in step t stands for ``2**-(1 + t mod bits)``: the receiving weights, or the reader, have to know that.
    Source: Kim et al., Neurocomputing 2018.
    """

    steps: int
    bits: int = 8


@dataclass(frozen=True)
class Burst:
    """A burst of ``rint(x longest)`` spikes from the start, the closer the larger x.

    The k-th spike comes in step ``k (1 + rint((1 - x) gap))``; spikes beyond the last step are lost.
    Source: Guo et al., Frontiers in Neuroscience 2021, after Park et al., DAC 2019.
    """

    steps: int
    longest: int = 5
    gap: int = 2


Encoder = Direct | Rate | Latency | Delta | Phase | Burst


class Entry(Protocol):
    """Where data enter: an ``Input`` or a ``Port``."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def shape(self) -> Shape:
        """The shape of a frame."""

    @property
    def encoder(self) -> Encoder | None:
        """What makes frames from samples; None: data are frames."""


CODERS: Mapping[str, type[Encoder]] = {
    "direct": Direct,
    "rate": Rate,
    "latency": Latency,
    "delta": Delta,
    "phase": Phase,
    "burst": Burst,
}
RANGES: Mapping[str, tuple[int, int]] = {
    "steps": (1, MOST),
    "seed": (0, 2**63 - 1),
    "bits": (1, 24),
    "longest": (1, MOST),
    "gap": (0, MOST),
}


def coder(name: str, **parameters: Any) -> Encoder:
    """The coder called ``name`` (a key of ``CODERS``); ``RanvierError`` RV350 to RV351 if there is none like that."""
    kind = CODERS.get(name)
    if kind is None:
        raise error("RV350", name, "there is no coder of this name", f"choose among {', '.join(CODERS)}")
    taken = [f.name for f in fields(kind)]
    try:
        made = kind(**parameters)
    except TypeError:
        text = f"it was given {', '.join(parameters) or 'nothing'}"
        raise error("RV351", name, text, f"{name} takes {', '.join(taken)}") from None
    return checked(made)


def checked(encoder: object) -> Encoder:
    """``encoder`` itself; ``RanvierError`` RV350 if it is no coder, RV351 if a parameter is out of range."""
    if not isinstance(encoder, Encoder):
        fix = f"give one of {', '.join(kind.__name__ for kind in CODERS.values())} of ranvier.encode"
        raise error("RV350", "encoder", f"{encoder!r:.60} is no coder", fix)
    found = list(problems(encoder))
    if found:
        raise error("RV351", name_of(encoder), "; ".join(found), "give values in these ranges")
    return encoder


def problems(encoder: Encoder) -> Iterator[str]:
    """What is wrong with the parameters of ``encoder``."""
    for f in fields(encoder):
        value = getattr(encoder, f.name)
        if f.name == "threshold":
            if not (isinstance(value, int | float) and 0 < value < np.inf):
                yield f"the threshold {value!r:.40} is no positive number"
            continue
        low, high = RANGES[f.name]
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            yield f"{f.name} {value!r:.40} is no whole number from {low} to {high}"


def misplaced(encoder: Encoder, shape: Shape, coding: Literal["spikes", "current"]) -> Iterator[str]:
    """What is wrong with ``encoder`` at an input for frames of ``shape`` that takes ``coding``."""
    yield from problems(encoder)
    if sends(encoder) == "current" and coding == "spikes":
        yield f"the coder {name_of(encoder)} sends real numbers, the input takes spikes"
    if isinstance(encoder, Delta) and (not shape or shape[0] % 2):
        yield f"the coder delta sends rises and falls, so the first axis of {shape} must be even"


def sends(encoder: Encoder) -> Literal["spikes", "current"]:
    """What ``encoder`` sends: ``spikes`` (0 or 1) or a ``current`` (real numbers)."""
    return "current" if isinstance(encoder, Direct) else "spikes"


def name_of(encoder: Encoder) -> str:
    """The name of the coder, a key of ``CODERS``."""
    return next(name for name, kind in CODERS.items() if isinstance(encoder, kind))


def described(encoder: Encoder) -> str:
    """The coder and its parameters, as ``rate (steps 32, seed 0)``."""
    return f"{name_of(encoder)} ({', '.join(f'{f.name} {getattr(encoder, f.name)}' for f in fields(encoder))})"


def sample_shape(encoder: Encoder, frame: Shape) -> Shape:
    """The shape of one sample whose frames have the shape ``frame``."""
    if isinstance(encoder, Delta):
        return (encoder.steps, frame[0] // 2, *frame[1:])
    return frame


def takes(entry: Entry, data: Shape) -> bool:
    """Whether data of this shape are samples for the encoder of ``entry``, and not frames: no shape can be both."""
    return entry.encoder is not None and data[1:] == sample_shape(entry.encoder, entry.shape)


def frames_of(entry: Entry, data: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """The frames (samples, steps, *frame) that enter at ``entry``, an input or a port, for ``data``.

    ``data`` are samples as its encoder takes them, numbered from ``first``, which are encoded, or frames, which pass
    unchanged, as everything does without an encoder. Raises ``RanvierError`` RV352 for any other shape, and what
    ``encode`` raises.
    """
    encoder, frame = entry.encoder, entry.shape
    if encoder is None or (data.ndim == len(frame) + 2 and data.shape[2:] == frame):
        return data
    if not takes(entry, data.shape):
        samples = ("samples", *map(str, sample_shape(encoder, frame)))
        frames = ("samples", "steps", *map(str, frame))
        text = f"the data have shape {data.shape}; {described(encoder)} takes ({', '.join(samples)})"
        raise error("RV352", f"inputs of {entry.name}", text, f"reshape them, or give frames ({', '.join(frames)})")
    return encode(encoder, data, first)


def encode(encoder: Encoder, samples: ArrayLike, first: int = 0) -> Frames:
    """The frames (samples, steps, *frame) that ``encoder`` sends for ``samples`` (samples, *sample).

    float32 for ``Direct``, else int8 zeros and ones. ``first`` is the number of the first sample: a random coder
    draws for each sample by its number, so that frames depend on neither batches nor order. Raises ``RanvierError``
    RV350 to RV351 for the coder, RV352 for a shape, RV353 for values and RV354 for a size that it cannot take.
    """
    x = checked_samples(encoder, samples)
    twice = 2 if isinstance(encoder, Delta) else 1
    each = size(x.shape[2:]) if isinstance(encoder, Delta) else size(x.shape[1:])
    wanted = len(x) * encoder.steps * each * twice * (4 if isinstance(encoder, Direct) else 1)
    if wanted > MAX_FRAME_BYTES:
        text = f"{len(x)} samples of {encoder.steps} steps take {wanted} bytes"
        raise error("RV354", name_of(encoder), text, "encode fewer samples at a time", bytes=wanted)
    return _SENT[type(encoder)](encoder, x if isinstance(encoder, Direct) else x.astype(np.float64), first)


def checked_samples(encoder: Encoder, samples: ArrayLike) -> NDArray[Any]:
    """``samples`` as an array; ``RanvierError`` RV350 to RV353 if ``encoder`` cannot take their shape or values."""
    name, x = name_of(checked(encoder)), np.asarray(samples)
    if x.ndim < 1 or not x.size:
        raise error("RV352", name, f"the samples have shape {x.shape}", "give at least one sample (samples, *shape)")
    if isinstance(encoder, Delta) and (x.ndim < 3 or x.shape[1] != encoder.steps):
        wanted = f"(samples, {encoder.steps}, channels, ...)"
        raise error("RV352", name, f"the signals have shape {x.shape}", f"give signals of shape {wanted}")
    if x.dtype.kind not in "biuf" or not bool(np.isfinite(x).all()):
        text = f"the samples are of type {x.dtype}, or not all finite"
        raise error("RV353", name, text, "give finite numbers")
    if not isinstance(encoder, Direct | Delta) and (x.min() < 0 or x.max() > 1):
        text = f"the values lie between {x.min():g} and {x.max():g}, and must lie between 0 and 1"
        raise error("RV353", name, text, "scale them to 0 to 1 first; images of 8 bits: divide by 255")
    return x


def _direct(encoder: Direct, x: NDArray[Any], _first: int) -> Frames:
    return np.repeat(x[:, None].astype(np.float32), encoder.steps, axis=1)


def _rate(encoder: Rate, x: Values, first: int) -> Frames:
    sent = np.empty((len(x), encoder.steps, *x.shape[1:]), np.int8)
    for i, sample in enumerate(x):
        drawn = np.random.Philox(key=np.array([encoder.seed, first + i], np.uint64)).random_raw(sent[i].size)
        sent[i] = ((drawn >> np.uint64(11)) * 2.0**-53).reshape(sent[i].shape) < sample
    return sent


def _latency(encoder: Latency, x: Values, _first: int) -> Frames:
    when = np.where(x > 0, np.rint((1.0 - x) * (encoder.steps - 1)), -1)
    return _by_step(x, encoder.steps, lambda t: when == t)


def _delta(encoder: Delta, x: Values, _first: int) -> Frames:
    channels = x.shape[2]
    sent = np.zeros((*x.shape[:2], 2 * channels, *x.shape[3:]), np.int8)
    followed = np.zeros((len(x), *x.shape[2:]), np.int64)
    for t in range(encoder.steps):
        change = x[:, t] - encoder.threshold * followed
        rises, falls = change >= encoder.threshold, -change >= encoder.threshold
        sent[:, t, :channels], sent[:, t, channels:] = rises, falls
        followed += rises.astype(np.int64) - falls
    return sent


def _phase(encoder: Phase, x: Values, _first: int) -> Frames:
    number = np.rint(x * (2**encoder.bits - 1)).astype(np.int64)
    return _by_step(x, encoder.steps, lambda t: (number >> (encoder.bits - 1 - t % encoder.bits)) & 1)


def _burst(encoder: Burst, x: Values, _first: int) -> Frames:
    count = np.rint(x * encoder.longest)
    distance = 1 + np.rint((1.0 - x) * encoder.gap)
    return _by_step(x, encoder.steps, lambda t: (t % distance == 0) & (t // distance < count))


def _by_step(x: Values, steps: int, sent: Callable[[int], NDArray[Any]]) -> Frames:
    """The frames of which ``sent`` gives one step (samples, *sample) after the other."""
    frames = np.empty((len(x), steps, *x.shape[1:]), np.int8)
    for t in range(steps):
        frames[:, t] = sent(t)
    return frames


_SENT: Mapping[type, Callable[[Any, Any, int], Frames]] = {
    Direct: _direct,
    Rate: _rate,
    Latency: _latency,
    Delta: _delta,
    Phase: _phase,
    Burst: _burst,
}
