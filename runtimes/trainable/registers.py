"""Which registers of a neuron can be trained, and the grid on which each may lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ranvier.compiler.ir.programs import BIAS_EXPONENT_MAX, BIAS_MANTISSA_MAX, DECAY_UNITY, STATE_MAX, VTH_MAX
from ranvier.runtimes.trainable.arithmetic import rounded, straight


def whole(value: Tensor) -> Tensor:
    """The grid of most registers: whole numbers."""
    return rounded(value)


def mantissa_and_exponent(value: Tensor) -> Tensor:
    """The grid of a bias: 12 bits and a sign, shifted left by the least exponent that holds it."""
    size = torch.round(value.detach().abs()).clamp(min=1.0) / BIAS_MANTISSA_MAX
    unit = 2.0 ** torch.ceil(torch.log2(size)).clamp(min=0.0)
    return straight(torch.round(value / unit) * unit, value)


@dataclass(frozen=True)
class Kind:
    """What users call it, its least and largest value, and its grid."""

    name: str
    low: float
    high: float
    grid: Callable[[Tensor], Tensor] = whole


BIAS_MAX = BIAS_MANTISSA_MAX * 2**BIAS_EXPONENT_MAX
REGISTERS: Mapping[str, Kind] = {
    "vth": Kind("threshold", 0, VTH_MAX),
    "threshold": Kind("threshold", 1, STATE_MAX),  # neurons of several spikes divide by it
    "du": Kind("decay", -1, DECAY_UNITY - 1),
    "dv": Kind("decay", 0, DECAY_UNITY),
    "bias": Kind("bias", -BIAS_MAX, BIAS_MAX, mantissa_and_exponent),
}
"""Parameters of step programs that can be trained; all others stay as they are."""


class Register(nn.Module):
    """One register of a population, trained in units of ``unit``, rounded to its grid in every forward pass."""

    def __init__(self, value: Tensor, kind: Kind, unit: float) -> None:
        super().__init__()
        self.kind, self.unit = kind, unit
        self.latent = nn.Parameter(value / unit)

    def forward(self) -> Tensor:
        """The register's integers."""
        return self.kind.grid(self.latent * self.unit).clamp(self.kind.low, self.kind.high)
