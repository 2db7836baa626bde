"""Colours that colour-blind eyes keep apart, and that a dark page and a white sheet both show.

A few layers have those of Okabe and Ito; more have steps of Viridis, dark to light in the order of the layers, every
second one paler, so that neighbours stand apart, and their numbers beside.
"""

from collections.abc import Sequence

Rgb = tuple[int, int, int]
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
CIVIDIS = (
    (0, 32, 76), (0, 48, 111), (57, 72, 107), (87, 93, 109), (112, 113, 115), (138, 134, 120), (166, 157, 117),
    (196, 182, 108), (228, 207, 91), (255, 234, 70),
)  # fmt: skip
"""Ten steps of the map of Nunez, Anderton and Renslow (PLOS ONE 13(7), 2018)."""
VIRIDIS = (
    (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
    (109, 205, 89), (180, 222, 44), (253, 231, 37),
)  # fmt: skip
"""Ten steps of the map of Smith and van der Walt (matplotlib, CC0)."""
PALER = 0.4
"""How far every second layer goes towards white."""


def of_layers(count: int) -> tuple[str, ...]:
    """A colour for each of ``count`` layers."""
    if count <= len(OKABE_ITO):
        return OKABE_ITO[:count]
    return tuple(_hex(_paler(_between(n / (count - 1)), PALER * (n % 2))) for n in range(count))


def scale() -> list[list[object]]:
    """Cividis as a colour scale from 0 to 1."""
    return [[n / (len(CIVIDIS) - 1), _hex(rgb)] for n, rgb in enumerate(CIVIDIS)]


def heat(share: float) -> str:
    """The colour of that scale at ``share``."""
    at = share * (len(CIVIDIS) - 1)
    low = min(int(at), len(CIVIDIS) - 2)
    return _hex(_mixed(CIVIDIS[low], CIVIDIS[low + 1], at - low))


def steps(colours: Sequence[str]) -> list[list[object]]:
    """A colour scale whose n-th of equal parts is the n-th colour."""
    count = len(colours)
    return [[end / count, colour] for n, colour in enumerate(colours) for end in (n, n + 1)]


def ink(colour: str) -> str:
    """Black or white, whichever reads better on ``colour``: the one of higher contrast by WCAG 2's luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def _between(share: float) -> Rgb:
    """The colour of Viridis at ``share`` of its length."""
    at = share * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    return _mixed(VIRIDIS[low], VIRIDIS[low + 1], at - low)


def _paler(colour: Rgb, share: float) -> Rgb:
    return _mixed(colour, (255, 255, 255), share)


def _mixed(a: Rgb, b: Rgb, share: float) -> Rgb:
    red, green, blue = (round(x + share * (y - x)) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _hex(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
