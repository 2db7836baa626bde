"""What an activation of the user's own computes, found out by asking it: ReLU, clipped ReLU, or quantized (QCFS)."""

from collections.abc import Callable

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, Shape
from ranvier.frontends.conversion.graph import Activation

FAR = 1e6
MAX_LEVELS = 256
POINTS = 20_001
TOLERANCE = 1e-4


def identified(name: str, shape: Shape, function: Callable[[FloatArray], FloatArray]) -> Activation | None:
    """The activation that ``function`` of a vector is, element by element; None if it is none of the three.

    The value far to the right is the ceiling; the number of different values below it gives the levels; then
    the guess must agree with ``function`` at 20,001 points between -1 and 2 ceilings, but for those within 1e-4 of
    a step of the staircase, where float32 may round to the other side.
    """
    right, left = (float(function(np.full(2, x))[0]) for x in (FAR, -FAR))
    if left != 0.0 or not np.isfinite(right) or right <= 0.0:
        return None
    if right >= FAR * (1 - TOLERANCE):
        return _agreeing(Activation(name, shape), function, 4.0)
    values = np.unique(np.round(function(_grid(right)) / right / TOLERANCE))
    levels = len(values) - 1
    clipped = Activation(name, shape, "clip", right)
    staircase = Activation(name, shape, "quantized", right, max(levels, 1))
    guess = staircase if levels <= MAX_LEVELS else clipped
    return _agreeing(guess, function, right)


def _grid(ceiling: float) -> FloatArray:
    return np.linspace(-ceiling, 2.0 * ceiling, POINTS)


def _agreeing(guess: Activation, function: Callable[[FloatArray], FloatArray], ceiling: float) -> Activation | None:
    grid = _grid(ceiling)
    if guess.kind == "quantized":
        phase = grid / ceiling * guess.levels + 0.5
        grid = grid[np.abs(phase - np.rint(phase)) > guess.levels * TOLERANCE]
    differs = np.abs(function(grid) - guess(grid)) > TOLERANCE * ceiling
    return None if bool(differs.any()) else guess
