"""Neuron models beyond the leaky integrate-and-fire family, in the source framework's units.

In all of them ``x`` is the weighted input of this step; parameters are float64 arrays of shape ``()`` or
``(neurons,)``; states start at 0 unless said otherwise; ``n`` is what is sent.
"""

# ruff: noqa: RUF009 - multiplier() and level() return dataclass fields

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ranvier.compiler.ir.arrays import FloatArray, floats
from ranvier.compiler.ir.neuron_base import Compare, Parameters, Reset, level, multiplier

ResonatorFires = Literal["phase", "imaginary"]
ResonatorReset = Literal["none", "imaginary", "both"]
Activation = Literal["unit", "relu"]


@dataclass(frozen=True, eq=False)
class AdaptiveLif(Parameters):
    """Leaky integrate-and-fire whose threshold rises with every spike and decays back.

    Per step::

        u = keep_current * u + gain * x + current_drive
        h = keep_membrane * v + u + drive
        level = threshold + z + r
        n = h > level  (or >=), or min(floor(h / level), max_spikes) where it is   (max_spikes != 1; 0 is unlimited)
        v = h | reset_value where n | h - n * level               (reset none | value | subtract)
        v = max(v, floor)                                         (floored)
        r = keep_refractory * r, and + refractory * (threshold + z) where n
        z = keep_adaptation * z + adaptation * n

    ``initial`` is ``v`` before the first step. With ``max_spikes != 1`` levels have to stay positive.
    Sinabs 3 ``ALIF`` with scale c and decay a has
    ``adaptation = c * (1 - a)``. SLAYER's ``alif`` (lava-dl) decays before it compares: it has ``reset="none"``,
    ``adaptation = keep_adaptation * th_step`` and ``refractory = 2 * keep_refractory`` (and integers of its own).
    """

    keep_current: FloatArray = multiplier(0.0)
    keep_membrane: FloatArray = multiplier(1.0)
    keep_adaptation: FloatArray = multiplier(0.0)
    keep_refractory: FloatArray = multiplier(0.0)
    refractory: FloatArray = multiplier(0.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    current_drive: FloatArray = level(0.0)
    threshold: FloatArray = level(1.0)
    adaptation: FloatArray = level(0.0)
    compare: Compare = ">="
    reset: Reset = "subtract"
    reset_value: FloatArray = level(0.0)
    initial: FloatArray = level(0.0)
    max_spikes: int = 1
    floor: FloatArray = level(0.0)
    floored: bool = False

    @property
    def has_current(self) -> bool:
        """Whether the neuron needs a synaptic current: it is carried from step to step, or has a drive of its own."""
        return bool(np.any(self.keep_current != 0.0) or np.any(self.current_drive != 0.0))

    @property
    def has_refractory(self) -> bool:
        """Whether a spike raises the refractory part of the threshold."""
        return bool(np.any(self.refractory != 0.0))


@dataclass(frozen=True, eq=False)
class FeedbackLif(Parameters):
    """The adaptive neuron of low-pass recurrent networks: each spike feeds a slow negative current back.

    Per step, all from the states before it (Euler)::

        u = keep_current * u + s + drive
        h = keep_membrane * v + u_before + w
        u = max(u, 0), h = max(h, 0)                              (rectify)
        s = keep_input * s + gain * x + current_drive
        n = h > threshold  (or >=)
        v = reset_value where n
        w = keep_feedback * w, and + feedback where n

    ``s`` filters the input, ``u`` is the low-pass activation that ``-w`` follows. Source: Boeshertz, Indiveri, Nair,
    Renner, ICONS 2024 (lpRNN), where ``keep = 1 - 1 / tau`` and thresholds are 0.
    """

    keep_input: FloatArray = multiplier(0.0)
    keep_current: FloatArray = multiplier(0.0)
    keep_feedback: FloatArray = multiplier(0.0)
    keep_membrane: FloatArray = multiplier(1.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    current_drive: FloatArray = level(0.0)
    threshold: FloatArray = level(0.0)
    feedback: FloatArray = level(-1.0)
    reset_value: FloatArray = level(0.0)
    compare: Compare = ">"
    rectify: bool = True


@dataclass(frozen=True, eq=False)
class TwoCompartment(Parameters):
    """A dendrite u and a soma v that drive each other: TC-LIF and LM-H.

    Per step::

        u = keep_dendrite * u + from_soma * v + gain * x + drive
        h = keep_soma * v + from_dendrite * u                     (the new u)
        n = h > threshold  (or >=)
        u = u - dendrite_reset where n
        v = h | reset_value where n | h - reset_amount where n    (reset none | value | subtract)

    ``initial`` is ``v`` before the first step. See :func:`tc_lif` and :func:`lm_h`.
    """

    keep_dendrite: FloatArray = multiplier(1.0)
    from_soma: FloatArray = multiplier(0.0)
    keep_soma: FloatArray = multiplier(1.0)
    from_dendrite: FloatArray = multiplier(1.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    threshold: FloatArray = level(1.0)
    dendrite_reset: FloatArray = level(0.0)
    compare: Compare = ">="
    reset: Reset = "subtract"
    reset_value: FloatArray = level(0.0)
    reset_amount: FloatArray = level(1.0)
    initial: FloatArray = level(0.0)


@dataclass(frozen=True, eq=False)
class Resonator(Parameters):
    """Resonate-and-fire: a damped rotation of the complex state u + i v, driven along its real axis.

    Per step::

        re = rotate_real * u - rotate_imag * v + gain * x + drive
        im = rotate_imag * u + rotate_real * v
        n = re >= threshold and im >= 0 and v < 0                 (fires "phase")
        n = im >= threshold                                       (fires "imaginary"; compare may be > in both)
        u = 0 where n (reset "both") else re
        v = reset_value where n (reset "both" or "imaginary") else im

    The membrane that is compared and read is re, or im for "imaginary". ``rotate_real + i rotate_imag`` is
    ``(1 - alpha) exp(2 pi i / period)``. Lava's ``RF`` is "phase" without reset, its ``RF_IZ`` (Izhikevich 2001)
    "imaginary" with reset "both" to one unit below the threshold; SpikingJelly's ``RAFNode`` resets "imaginary".
    """

    rotate_real: FloatArray = multiplier(0.0)
    rotate_imag: FloatArray = multiplier(1.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    threshold: FloatArray = level(1.0)
    reset_value: FloatArray = level(0.0)
    fires: ResonatorFires = "phase"
    reset: ResonatorReset = "none"
    compare: Compare = ">="


@dataclass(frozen=True, eq=False)
class SigmaDelta(Parameters):
    """Sends the change of its activation, as a number, once the change is large enough.

    Per step::

        u = u + gain * x + drive            (integrate: the input is itself changes; else u = gain * x + drive)
        a = u + bias | max(u + bias, 0)     (activation unit | relu)
        d = a - v                           (v: the sum of all that was sent)
        n = d where abs(d) >= threshold else 0   (or >)
        v = v + n

    The membrane that is read is ``a``. ``integrate=False`` is the encoder that Lava calls Delta. On a chip n travels as
    the integer ``n * message_scale``, ``message_bits`` wide with sign; 0 until Quantize chooses them.
    """

    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    bias: FloatArray = level(0.0)
    threshold: FloatArray = level(0.0)
    activation: Activation = "relu"
    integrate: bool = True
    compare: Compare = ">="
    message_scale: float = 0.0
    message_bits: int = 0


@dataclass(frozen=True, eq=False)
class GradedLif(Parameters):
    """Leaky integrate-and-fire whose spikes carry a size: how far the membrane got.

    Per step::

        h = keep_membrane * v + gain * x + drive
        n = h - offset where h >= threshold (or >) else 0
        v = 0 where it fired else h

    Firing resets fully, so a neuron that fired carries nothing; a size of 0 is no message. Source: the EM-PF neuron of
    multi-level spikes, ``s = v where v >= theta``, ``offset`` 0. With ``keep_membrane`` 0 and ``threshold`` and
    ``offset`` b it is a gate: it lets a number below b pass where a spike of weight b arrives with it. On a chip n
    travels as the integer ``n * message_scale``, ``message_bits`` wide with sign; a ``message_scale`` of 0 is chosen by
    Quantize, ``message_bits`` of 0 as well.
    """

    keep_membrane: FloatArray = multiplier(1.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    threshold: FloatArray = level(1.0)
    offset: FloatArray = level(0.0)
    compare: Compare = ">="
    message_scale: float = 0.0
    message_bits: int = 0


@dataclass(frozen=True, eq=False)
class Quantizer(Parameters):
    """A neuron without memory that sends its input in whole multiples of a fixed step, halves away from zero.

    Per step::

        u = gain * x + drive
        n = step * sign(u) * min(floor(abs(u) / step + 1/2), 2**(message_bits - 1) - 1)

    One event carries the level: ``n * message_scale``, ``message_scale = 1 / step``, is the integer on the wire, of
    ``message_bits`` bits with sign, and 0 is no event. ``u`` is the membrane that is read; ``step`` is one number for
    all neurons. Source: the EI_IF neuron of BrainTransformers with a static scale, which is fake quantization to int8.
    """

    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    step: FloatArray = level(1.0)
    message_bits: int = 8

    @property
    def message_scale(self) -> float:
        """Integers on the wire per unit."""
        return 1.0 / float(self.step)

    @property
    def threshold(self) -> FloatArray:
        """The least input that sends anything."""
        return floats(0.5 * self.step)


def tc_lif(
    c0: ArrayLike, c1: ArrayLike, gamma: float = 0.5, threshold: float = 1.0, fire_on_equal: bool = True,
    hard_reset: bool = False,
) -> TwoCompartment:  # fmt: skip
    """TC-LIF (Zhang et al., AAAI 2024): ``d -= sigmoid(c0) s``, ``s += sigmoid(c1) d``; a spike takes gamma and theta.

    ``fire_on_equal``: whether the surrogate's forward pass fires at equality. A hard reset zeroes the soma only.
    """
    return TwoCompartment(
        from_soma=-_sigmoid(c0),
        from_dendrite=_sigmoid(c1),
        threshold=floats(threshold),
        dendrite_reset=floats(0.0 if hard_reset else gamma),
        compare=">=" if fire_on_equal else ">",
        reset="value" if hard_reset else "subtract",
        reset_amount=floats(threshold),
    )


def lm_h(a1: ArrayLike, b1: ArrayLike, a2: ArrayLike, b2: ArrayLike, threshold: float = 1.0) -> TwoCompartment:
    """LM-H (Hao et al., ICLR 2024); the soma starts at theta / 2. Spikes of height theta belong into later weights."""
    return TwoCompartment(
        keep_dendrite=_sigmoid(a1) - 0.5,
        from_soma=_sigmoid(b1) - 0.5,
        keep_soma=_sigmoid(a2) + 0.5,
        from_dendrite=_sigmoid(b2) + 0.5,
        threshold=floats(threshold),
        reset_amount=floats(threshold),
        initial=floats(0.5 * threshold),
    )


def resonator(period: ArrayLike, alpha: ArrayLike, threshold: float = 1.0) -> Resonator:
    """A resonator of ``period`` steps that loses ``alpha`` of its amplitude a step, as Lava and SLAYER give it."""
    turn, keep = 2.0 * np.pi / np.asarray(period, np.float64), 1.0 - np.asarray(alpha, np.float64)
    return Resonator(floats(keep * np.cos(turn)), floats(keep * np.sin(turn)), threshold=floats(threshold))


def _sigmoid(c: ArrayLike) -> FloatArray:
    return floats(1.0 / (1.0 + np.exp(-np.asarray(c, np.float64))))
