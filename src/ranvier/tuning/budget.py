"""What a deployment may cost."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ranvier.compiler.diagnostics import error
from ranvier.tuning.points import Metrics

UNITS: Mapping[str, Mapping[str, float]] = {
    "memory": {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "cores": {"": 1},
    "steps": {"": 1},
    "energy": {"nJ": 1, "uJ": 1e3, "mJ": 1e6, "J": 1e9},
}
"""Units of each limit, as multiples of what :class:`Budget` counts in."""
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Budget:
    """Upper limits, infinite where nothing was said: ``memory`` in bytes of weights and states, ``cores``,
    ``energy`` in nJ of dynamic energy per inference, ``steps`` per sample.
    """

    memory: float = math.inf
    cores: float = math.inf
    energy: float = math.inf
    steps: float = math.inf

    def excess(self, metrics: Metrics) -> float:
        """By which share the worst resource is over its limit; at most 0 where all are kept.

        A resource that is limited and whose use is not known counts as over its limit.
        """
        worst = -math.inf
        for f in fields(self):
            limit, used = getattr(self, f.name), getattr(metrics, f.name)
            if math.isfinite(limit):
                worst = max(worst, math.inf if used is None else used / max(limit, 1e-12) - 1.0)
        return 0.0 if worst == -math.inf else worst

    def keeps(self, metrics: Metrics) -> bool:
        """Whether ``metrics`` stay within every limit."""
        return self.excess(metrics) <= 0.0


def parse_budget(text: str) -> Budget:
    """``memory=96KiB,cores=4,energy=2uJ,steps=16``; raises ``RanvierError`` RV880 for anything else."""
    limits: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, amount = part.partition("=")
        found = AMOUNT.fullmatch(amount.strip())
        units = UNITS.get(name.strip(), {})
        if found is None or found[2] not in units or not float(found[1]) > 0:
            known = "; ".join(f"{n} in {', '.join(filter(None, u)) or 'numbers'}" for n, u in UNITS.items())
            raise error(
                "RV880", "budget", f"{part!r:.60} is no limit", f"write memory=96KiB,cores=4; there are {known}"
            )
        limits[name.strip()] = float(found[1]) * units[found[2]]
    return Budget(**limits)
