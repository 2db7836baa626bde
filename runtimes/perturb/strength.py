"""How strong each non-ideality is: a factor to what the device file says, or whether it is there at all."""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class Strength:
    """Factors to standard deviations (``spread`` of writing, ``read``), to drift exponents and to shares of stuck
    cells; ``levels`` and ``converter`` are there or not.
    """

    spread: float = 1.0
    read: float = 1.0
    drift: float = 1.0
    stuck: float = 1.0
    levels: bool = True
    converter: bool = True

    @property
    def ideal(self) -> bool:
        """Whether nothing is left that could change anything."""
        return self == OFF

    def times(self, factor: float) -> "Strength":
        """Everything that has a size multiplied by ``factor``."""
        return replace(
            self,
            spread=self.spread * factor,
            read=self.read * factor,
            drift=self.drift * factor,
            stuck=self.stuck * factor,
        )


FULL: Final = Strength()
OFF: Final = Strength(0.0, 0.0, 0.0, 0.0, levels=False, converter=False)
ALONE: Final = {
    "write noise": replace(OFF, spread=1.0),
    "read noise": replace(OFF, read=1.0),
    "drift": replace(OFF, drift=1.0),
    "stuck cells": replace(OFF, stuck=1.0),
    "levels": replace(OFF, levels=True),
    "converter": replace(OFF, converter=True),
}
"""Each effect by itself."""
