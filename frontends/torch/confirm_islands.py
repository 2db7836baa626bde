"""Functions for the host, computed again on what the recorded run gave them, from the recorded values of all others."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.host_functions import compute
from ranvier.frontends.torch.confirm import TOLERANCE, Array, Replay, same_input
from ranvier.frontends.torch.islands import Island

HUGE = 1e9
"""Numbers from here on are masks: each is compared by its own size, so that it does not hide the others."""


def confirm_islands(replay: Replay, islands: Mapping[str, Island]) -> None:
    """Compare every argument and every value with the recording; raises ``RanvierError`` RV225 and RV735."""
    for name, island in islands.items():
        for step, use in enumerate(island.calls):
            arriving = replay.into(name, step)
            if use.given is not None:
                given = np.where(_taken(island), use.given, arriving)
                for mine, seen in zip(_parts(island, arriving), _parts(island, given), strict=True):
                    unit = np.where(np.abs(seen) < HUGE, 1.0, np.abs(seen))
                    same_input(name, step, mine / unit, seen / unit)
                arriving = given
            values = compute(island.function, arriving)
            _same_values(island, step, values.reshape(values.shape[0], -1), use.shown)


def _parts(island: Island, rows: Array) -> list[Array]:
    """The arguments, which may be of different size, each by itself."""
    return np.split(rows, np.cumsum([size(shape) for shape in island.function.in_shapes])[:-1], axis=1)


def _taken(island: Island) -> NDArray[np.bool_]:
    """Where what arrives matters: not where the mask of a softmax is, which the module has added before."""
    function = island.function
    allowed = function.constants.get("allowed", np.ones(()))
    spread = np.broadcast_to(allowed, function.in_shapes[0] if allowed.ndim else ())
    return np.asarray(spread.reshape(-1) != 0.0)


def _same_values(island: Island, step: int, mine: Array, seen: Array) -> None:
    worst = float(np.max(np.abs(mine - seen), initial=0.0))
    if not worst <= TOLERANCE * max(1.0, float(np.max(np.abs(seen), initial=0.0))):
        raise error(
            "RV735",
            island.name,
            f"in step {step} what the module gives at {island.sites[step]} differs by {worst:.3g} from the "
            f"{island.function.kind} of what arrives there.",
            "Something in forward could not be seen, such as a tensor changed in place through a view or values "
            "computed in Python: write it with plain layers and functions.",
            step=step,
            difference=worst,
        )
