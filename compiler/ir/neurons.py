"""Neuron models: the parameters of a population, in the source framework's units or in registers.

The leaky integrate-and-fire family stands here, the other kinds in ``neuron_kinds.py``.
"""

# ruff: noqa: RUF009 - multiplier() and level() return dataclass fields

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, IntArray, compact, floats, integers
from ranvier.compiler.ir.neuron_base import Compare, Parameters, Reset, array_fields, level, multiplier
from ranvier.compiler.ir.neuron_kinds import (
    AdaptiveLif,
    FeedbackLif,
    GradedLif,
    Quantizer,
    Resonator,
    SigmaDelta,
    TwoCompartment,
    lm_h,
    resonator,
    tc_lif,
)

__all__ = [
    "NUMERIC",
    "PARAMETERS",
    "READABLE",
    "UNLIMITED",
    "AdaptiveLif",
    "Compare",
    "FeedbackLif",
    "GradedLif",
    "Lif",
    "NeuronModel",
    "Numeric",
    "Quantizer",
    "RegisterLif",
    "Reset",
    "Resonator",
    "SigmaDelta",
    "TwoCompartment",
    "array_fields",
    "lm_h",
    "resonator",
    "tc_lif",
]
UNLIMITED = 0


@dataclass(frozen=True, eq=False)
class Lif(Parameters):
    """Leaky integrate-and-fire with optional synaptic current: one form for all frameworks.

    Per step, with ``x`` the weighted input of this step::

        i = keep_current * i + x + current_drive
        h = keep_membrane * v + gain * i + drive                  (late_current: with i before this step)
        th = 2 * threshold where v > threshold else threshold     (late_guard; else threshold)
        fire = h > th  (or >=), and not refractory (then h = v)
        n = fire, or min(floor(h / th), max_spikes) where fire    (max_spikes != 1; 0 is unlimited)
        v = h | reset_value where fire | h - n * reset_amount     (reset none | value | subtract)
        v = max(v, floor)                                         (floor not None)
        i = 0 where refractory (block_input), 0 where fire        (reset_current)

    Parameters are float64 arrays of shape ``()`` or ``(neurons,)`` in the units of the source
    framework; ``refractory`` is a number of silent steps; ``initial`` is ``v`` before the first step.
    """

    keep_current: FloatArray = multiplier(0.0)
    keep_membrane: FloatArray = multiplier(1.0)
    gain: FloatArray = multiplier(1.0)
    drive: FloatArray = level(0.0)
    current_drive: FloatArray = level(0.0)
    threshold: FloatArray = level(1.0)
    compare: Compare = ">"
    max_spikes: int = 1
    reset: Reset = "value"
    reset_value: FloatArray = level(0.0)
    reset_amount: FloatArray = level(1.0)
    late_guard: bool = False
    refractory: int = 0
    floor: float | None = None
    initial: FloatArray = level(0.0)
    late_current: bool = False
    reset_current: bool = False
    block_input: bool = False

    @property
    def has_current(self) -> bool:
        """Whether the synaptic current is carried from step to step."""
        return self.late_current or bool(np.any(self.keep_current != 0.0))


PARAMETERS = (
    "keep_current",
    "keep_membrane",
    "gain",
    "drive",
    "current_drive",
    "threshold",
    "reset_value",
    "reset_amount",
    "initial",
)


@dataclass(frozen=True, eq=False)
class RegisterLif:
    """A Loihi CUBA neuron given by its registers, as quantizing trainers write it.

    ``du`` is the current decay register (-1..4095, effective decay ``du + 1``), ``dv`` the voltage
    decay (0..4096), ``vth`` the threshold mantissa (times 64), ``bias`` the effective bias added to
    the membrane each step; int64 arrays of shape ``()`` or ``(neurons,)``.
    """

    du: IntArray
    dv: IntArray
    vth: IntArray
    bias: IntArray = field(default_factory=lambda: integers(0))

    def __post_init__(self) -> None:
        for name in ("du", "dv", "vth", "bias"):
            object.__setattr__(self, name, compact(integers(getattr(self, name))))

    @property
    def threshold(self) -> FloatArray:
        """The threshold in membrane units."""
        return floats(self.vth * 64)


Numeric = SigmaDelta | GradedLif | Quantizer
NUMERIC = (SigmaDelta, GradedLif, Quantizer)
"""Models that send numbers: ``message_scale`` and ``message_bits`` say how."""
NeuronModel = Lif | RegisterLif | AdaptiveLif | FeedbackLif | TwoCompartment | Resonator | Numeric

READABLE: Mapping[type, str] = {
    Lif: "leaky integrate-and-fire",
    RegisterLif: "registers of a Loihi neuron",
    AdaptiveLif: "an adaptive threshold",
    FeedbackLif: "adaptation by a feedback current (lpRNN)",
    TwoCompartment: "two compartments (TC-LIF, LM-H)",
    Resonator: "resonate-and-fire dynamics",
    SigmaDelta: "sigma-delta coding",
    GradedLif: "graded spikes (EM-PF)",
    Quantizer: "quantized events (EI_IF)",
}
"""What each model is, in words for reports."""
