"""How long the search for a better mapping may take, and who is told how far it is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ranvier.compiler.diagnostics import Diagnostic, RanvierError

# Stage and the share of it that is done, 0 to 1.
Progress = Callable[[str, float], None]

# Moves that are tried per neuron (partition) or core (placement), in rounds of equal length.
_MOVES: Final = {"quick": 10, "normal": 100, "thorough": 400}
_ROUNDS: Final = 8
_MOST_SECONDS: Final = 3600.0


# The stage before any search: it cannot be cut short, because without it there is no mapping.
CUTTING: Final = "cut and pack"


def silent(_stage: str, _share: float) -> None:
    """Tells nobody."""


def never() -> bool:
    """Does not stop the search."""
    return False


@dataclass(frozen=True)
class Effort:
    """``moves`` per element to be tried, or ``seconds`` of search after which the best mapping so far is taken.

    With a number of moves the same input always gives the same mapping. With seconds it also depends on the
    machine's speed: every round that was finished counts, always in the same order. ``stop`` is asked before every
    round; once it says True, the best mapping so far is taken.
    """

    moves: int = _MOVES["normal"]
    seconds: float | None = None
    stop: Callable[[], bool] = field(default=never, compare=False)

    @staticmethod
    def named(text: str) -> "Effort":
        """``quick``, ``normal``, ``thorough`` or a number of seconds; ``RanvierError`` RV524 for anything else."""
        if text in _MOVES:
            return Effort(_MOVES[text])
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _MOST_SECONDS:
            message = f"{text!r} is no effort: one of {', '.join(_MOVES)}, or 0 to {_MOST_SECONDS:g} seconds"
            raise RanvierError([Diagnostic("RV524", "effort", message, "write --effort thorough, or --effort 30")])
        return Effort(_MOVES["thorough"], seconds)

    def rounds(self, elements: int, most: int) -> Iterator[tuple[float, float, int]]:
        """Rounds of a search over ``elements``, at most ``most`` moves in all: (start, stop, moves).

        ``start`` and ``stop`` are shares of the whole search, 0 to 1. With seconds, a round is one per cent of
        the moves and its shares are those of the time.
        """
        moves = min(self.moves * elements, most)
        if self.seconds is None:
            for i in range(_ROUNDS):
                if self.stop():
                    return
                yield i / _ROUNDS, (i + 1) / _ROUNDS, moves * (i + 1) // _ROUNDS - moves * i // _ROUNDS
            return
        begin, share = time.perf_counter(), 0.0
        while share < 1 and not self.stop():
            before = share
            yield before, min(1.0, before + 0.05), max(1000, min(moves // 100, 20 * elements))
            share = (time.perf_counter() - begin) / self.seconds if self.seconds else 1.0


NORMAL: Final = Effort()
