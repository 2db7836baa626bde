"""The memories of a chip that runs a schedule: what lies where, and a count of every bit that moves.

The machine does what the events of a plan say and nothing more. It holds real arrays, takes their size from themselves,
and refuses to compute with what is not on the chip.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ranvier.compiler.schedule.manager import Event
from ranvier.compiler.schedule.plan import Moved
from ranvier.compiler.schedule.tables import Role

Measure = Callable[[int, Any], int]
"""The bits of one sample of what a tile holds."""


@dataclass
class Machine:
    """``store`` and ``dram`` by tile; ``passing``: what was streamed in for the next computation; ``fresh``: what the
    last one made and the store has no room for. ``capacity`` of the store in bits, ``reserved``: what is taken of it by
    tile; ``word``: bits of a word of DRAM.
    """

    measure: Measure
    capacity: int
    word: int
    dram: dict[int, Any]
    store: dict[int, Any] = field(default_factory=dict)
    passing: dict[int, Any] = field(default_factory=dict)
    fresh: dict[int, Any] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    read: dict[int, list[int]] = field(default_factory=dict)
    written: dict[int, list[int]] = field(default_factory=dict)
    taken: int = 0
    peak: int = 0

    def move(self, event: Event, tile: int, expected: int) -> None:
        """Do what ``event`` says with ``tile``; where it has no contents yet, room of ``expected`` bits is made."""
        match event:
            case Event.FETCH:
                self._put(tile, self._incoming(tile), expected)
            case Event.MAKE:
                self._put(tile, None, expected)
            case Event.WRITE:
                self._outgoing(tile, self.store[tile])
            case Event.EVICT | Event.FREE:
                del self.store[tile]
                self.taken -= self.reserved.pop(tile)
            case Event.READ:
                self.passing[tile] = self._incoming(tile)
            case Event.SEND:
                self._outgoing(tile, self.fresh.pop(tile))
            case Event.RUN:
                raise AssertionError("a computation is no movement")

    def begin(self) -> None:
        """A computation begins: what the last one left and nobody wanted is gone."""
        self.fresh.clear()

    def end(self) -> None:
        """A computation is over: what was streamed in for it is gone."""
        self.passing.clear()

    def holds(self, tile: int) -> bool:
        """Whether the array can get at the contents of ``tile``."""
        return self.store.get(tile) is not None or tile in self.passing

    def take(self, tile: int) -> Any:
        """The contents of ``tile``, from the store or as they pass."""
        assert self.holds(tile), f"tile {tile} is not on the chip"
        held = self.store.get(tile)
        return self.passing[tile] if held is None else held

    def give(self, tile: int, value: Any) -> None:
        """The new contents of ``tile``: into the room in the store, or on their way out."""
        if tile in self.store:
            assert self.measure(tile, value) == self.reserved[tile], f"tile {tile} is not as large as the plan says"
            self.store[tile] = value
        else:
            self.fresh[tile] = value

    def _put(self, tile: int, value: Any, expected: int) -> None:
        assert tile not in self.store, f"tile {tile} is in the store twice"
        room = expected if value is None else self.measure(tile, value)
        self.store[tile], self.reserved[tile] = value, room
        self.taken += room
        self.peak = max(self.peak, self.taken)
        assert self.taken <= self.capacity, f"{self.taken} bits in a store of {self.capacity}"

    def _incoming(self, tile: int) -> Any:
        value = self.dram[tile]
        self._count(self.read, tile, value)
        return value

    def _outgoing(self, tile: int, value: Any) -> None:
        assert value is not None, f"tile {tile} is written before it is computed"
        self._count(self.written, tile, value)
        self.dram[tile] = value

    def _count(self, counts: dict[int, list[int]], tile: int, value: Any) -> None:
        bits = self.measure(tile, value)
        counted = counts.setdefault(tile, [0, 0])
        counted[0] += bits
        counted[1] += -(-bits // self.word)

    def counted(self, name: Callable[[int], tuple[str, Role]]) -> dict[tuple[str, Role], Moved]:
        """What has moved, by the layer and operand that ``name`` gives a tile."""
        totals: dict[tuple[str, Role], list[int]] = {}
        for place, counts in enumerate((self.read, self.written)):
            for tile, (bits, words) in counts.items():
                total = totals.setdefault(name(tile), [0, 0, 0, 0])
                total[place] += bits
                total[place + 2] += words
        return {key: Moved(*total) for key, total in totals.items()}
