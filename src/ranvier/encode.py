"""Input coding: static samples to sequences of frames, an explicit step outside the network.

Every encoder takes ``samples`` (samples, *shape) and ``steps`` and returns (samples, steps, *shape). ``direct`` keeps
real numbers (an input with ``coding="current"``); the others give 0 and 1, and all but ``delta`` and ``direct`` want
values from 0 to 1. What is random takes a seed: the same seed gives the same spikes.
Sources: Auge et al., Neural Processing Letters 2021 (survey); Kim et al., Neurocomputing 2018 (phase);
Park et al., DAC 2019 (burst).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error

Frames = NDArray[np.float32]
CODERS = ("direct", "rate", "latency", "delta", "phase", "burst")


def direct(samples: ArrayLike, steps: int) -> Frames:
    """The sample itself in every step: ``x[t] = x``; the coding with the least noise."""
    x = _checked(samples, steps)
    return np.repeat(x[:, None].astype(np.float32), steps, axis=1)


def rate(samples: ArrayLike, steps: int, seed: int = 0) -> Frames:
    """A spike in each step with probability x: independent (Bernoulli) draws from ``seed``; x from 0 to 1."""
    x = _unit(samples, steps)
    drawn = np.random.default_rng(seed).random((len(x), steps, *x.shape[1:]))
    return np.asarray(drawn < x[:, None], np.float32)


def latency(samples: ArrayLike, steps: int) -> Frames:
    """One spike, the earlier the larger: in step ``rint((1 - x) (steps - 1))``; none for x = 0; x from 0 to 1."""
    x = _unit(samples, steps)
    when = np.rint((1.0 - x) * (steps - 1)).astype(np.int64)
    fired = _clock(x, steps) == when[:, None]
    return np.asarray(fired & (x[:, None] > 0), np.float32)


def delta(samples: ArrayLike, threshold: float) -> Frames:
    """Changes of a signal: ``samples`` (samples, steps, *shape) to (samples, steps, 2, *shape), rises and falls.

    A reference r starts at 0 and follows the signal by ``threshold`` for each spike: a rise is sent where
    ``x - r >= threshold``, a fall where ``r - x >= threshold``, at most one of them in a step.
    """
    x = _checked(samples, 1)
    if x.ndim < 3:
        raise error("RV669", "delta", f"the signal has shape {x.shape}", "give (samples, steps, *shape)")
    if not threshold > 0:
        raise error("RV669", "delta", f"the threshold is {threshold}", "give a positive threshold")
    sent = np.zeros((x.shape[0], x.shape[1], 2, *x.shape[2:]), np.float32)
    reference = np.zeros((x.shape[0], *x.shape[2:]))
    for t in range(x.shape[1]):
        change = x[:, t] - reference
        sent[:, t, 0], sent[:, t, 1] = change >= threshold, -change >= threshold
        reference += threshold * (sent[:, t, 0] - sent[:, t, 1])
    return sent


def phase(samples: ArrayLike, steps: int, bits: int = 8) -> Frames:
    """The binary digits of ``rint(x (2**bits - 1))``, most significant first, again and again; x from 0 to 1.

    A spike in step t stands for ``2**-(1 + t mod bits)``: the receiving weights, or the reader, have to know that.
    """
    x = _unit(samples, steps)
    if not 1 <= bits <= 24:
        raise error("RV669", "phase", f"{bits} bits were asked for", "give 1 to 24 bits")
    number = np.rint(x * (2**bits - 1)).astype(np.int64)
    place = bits - 1 - _clock(x, steps) % bits
    return np.asarray((number[:, None] >> place) & 1, np.float32)


def burst(samples: ArrayLike, steps: int, longest: int = 5, gap: int = 2) -> Frames:
    """A burst of ``rint(x longest)`` spikes from the start, the closer the larger; x from 0 to 1.

    The k-th spike comes in step ``k (1 + rint((1 - x) gap))``; spikes beyond the last step are lost.
    """
    x = _unit(samples, steps)
    if longest < 1 or gap < 0:
        raise error("RV669", "burst", f"longest={longest}, gap={gap}", "give at least one spike and no negative gap")
    count = np.rint(x * longest)[:, None]
    distance = (1 + np.rint((1.0 - x) * gap))[:, None]
    clock = _clock(x, steps)
    return np.asarray((clock % distance == 0) & (clock // distance < count), np.float32)


def _clock(x: NDArray[Any], steps: int) -> NDArray[np.int64]:
    """The step numbers, shaped to go with (samples, steps, *shape)."""
    return np.arange(steps).reshape(1, steps, *(1,) * (x.ndim - 1))


def _checked(samples: ArrayLike, steps: int) -> NDArray[np.float64]:
    x = np.asarray(samples)
    if x.dtype.kind not in "biuf" or x.ndim < 1 or not x.size or not bool(np.isfinite(x).all()):
        raise error("RV669", "samples", f"type {x.dtype}, shape {x.shape}, or values that are not finite",
                    "give finite numbers of shape (samples, *shape)")  # fmt: skip
    if steps < 1:
        raise error("RV669", "steps", f"{steps} steps were asked for", "give at least one step")
    return x.astype(np.float64)


def _unit(samples: ArrayLike, steps: int) -> NDArray[np.float64]:
    x = _checked(samples, steps)
    if x.min() < 0 or x.max() > 1:
        raise error("RV669", "samples", f"the values lie between {x.min():g} and {x.max():g}",
                    "scale them to 0 to 1 first; images of 8 bits: divide by 255")  # fmt: skip
    return x
