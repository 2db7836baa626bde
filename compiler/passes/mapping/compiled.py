"""The one way in which the mapper compiles a Python function, and the random numbers of what is compiled.

Random numbers are a state that is handed on (xorshift64*, Vigna 2016): the same seed gives the same numbers on every
machine, whatever else runs in the process.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Random = NDArray[np.uint64]


def compiled(function: F) -> F:
    """``function`` compiled by Numba on first use, cached on disk, running without the interpreter lock."""
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def random_state(seed: int) -> Random:
    """The state that starts with ``seed``."""
    return np.random.default_rng(seed).integers(1, 2**63, size=1, dtype=np.uint64)


@compiled
def uniform(state: Random) -> float:
    """A number in [0, 1); the state moves on."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) / 9007199254740992.0


@compiled
def below(state: Random, n: int) -> int:
    """An integer in 0..n-1."""
    return int(uniform(state) * n)


@compiled
def accepted(state: Random, change: float, temperature: float) -> bool:
    """Whether annealing takes a step that changes the cost by ``change`` (Metropolis)."""
    return change <= 0 or uniform(state) < np.exp(-change / temperature)
