"""How much each layer suffers from narrow weights, measured one layer at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ranvier.tuning.points import Metrics, Point

Measure = Callable[[Point], Metrics | None]
PROBED = (4, 2)


@dataclass(frozen=True)
class Sensitivity:
    """What is lost when only ``layer`` has weights of ``bits``; ``saved`` bytes (None: not known)."""

    layer: str
    bits: int
    lost: float
    saved: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return dict(vars(self))


def sensitivities(layers: Sequence[str], full: Point, measure: Measure) -> tuple[Sensitivity, ...]:
    """Each of ``layers`` alone at the widths ``PROBED``, against ``full``; points that do not compile are left out."""
    base = measure(full)
    found = []
    for layer in layers if base is not None else ():
        for bits in PROBED:
            metrics = measure(narrowed(full, {layer: bits}))
            if metrics is not None and base is not None:
                known = base.memory is not None and metrics.memory is not None
                saved = base.memory - metrics.memory if known else None  # type: ignore[operator]
                found.append(Sensitivity(layer, bits, base.accuracy - metrics.accuracy, saved))
    return tuple(found)


def narrowed(point: Point, bits: dict[str, int]) -> Point:
    """``point`` with other widths for some layers."""
    return replace(point, layer_bits=tuple(sorted((dict(point.layer_bits) | bits).items())))


def greedy(full: Point, found: Sequence[Sensitivity]) -> list[Point]:
    """Points that narrow one layer after the other, the cheapest loss per byte first: good first guesses."""
    order = sorted(found, key=lambda s: s.lost / s.saved if s.saved else float("inf"))
    points, widths = [], dict(full.layer_bits)
    for step in order:
        if step.bits < widths[step.layer]:
            widths[step.layer] = step.bits
            points.append(narrowed(full, widths))
    return points
