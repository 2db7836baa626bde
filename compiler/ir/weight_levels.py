"""The integers that a weight of k bits may be on a Loihi-class chip, by sign mode.

A chip stores weights on an 8-bit grid whose low bits are zero for narrower weights; a mixed sign takes one of the bits
(lava-nc 0.10.0 ``weightutils``): ``step = 2**(8 - k)``, twice that for mixed signs.

=========== ================== ====================
mode        k = 8              k = 2
=========== ================== ====================
mixed       -256, -254 .. 254  -256, -128, 0, 128
excitatory  0 .. 255           0, 64, 128, 192
inhibitory  -255 .. 0          -192, -128, -64, 0
=========== ================== ====================

One bit of mixed sign would be -256 and 0 there, which no network wants. It becomes the binary weights -128 and 128
instead: two levels, for which the chip's format needs two bits. Two bits hold the ternary weights -128, 0, 128.
A weight that is zero in the source is no synapse: it stays zero whatever its width.
"""

from dataclasses import dataclass

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import SignMode

FULL_BITS = 8
SPAN = 2.0**FULL_BITS


@dataclass(frozen=True)
class WeightLevels:
    """The integers ``low, low + step, .. high``."""

    step: float
    low: float
    high: float

    def nearest(self, values: FloatArray) -> FloatArray:
        """The level nearest to each of ``values``, ties to even multiples; what lies outside goes to an end."""
        return self.below(values, np.rint)

    def below(self, values: FloatArray, cut: np.ufunc = np.floor) -> FloatArray:
        """The largest level not above each of ``values``; what lies outside goes to an end."""
        offset = self.low % self.step
        levels = cut((values - offset) / self.step) * self.step + offset
        return np.asarray(np.clip(levels, self.low, self.high))

    @property
    def count(self) -> int:
        """How many levels there are."""
        return round((self.high - self.low) / self.step) + 1


def weight_levels(bits: int, sign: SignMode) -> WeightLevels:
    """The levels of weights of ``bits`` (1 to 8) in mode ``sign``."""
    assert 1 <= bits <= FULL_BITS
    if sign == "mixed":
        step = 2.0 ** (FULL_BITS + 1 - bits)
        return WeightLevels(step, -SPAN / 2, SPAN / 2) if bits == 1 else WeightLevels(step, -SPAN, SPAN - step)
    step = 2.0 ** (FULL_BITS - bits)
    return WeightLevels(step, 0.0, SPAN - step) if sign == "excitatory" else WeightLevels(step, step - SPAN, 0.0)
