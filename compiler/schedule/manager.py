"""The memory manager: what is held on chip, streamed, evicted and written back, event by event.

One store is shared by all operands. For each computation in order:

1. Operands that do not fit together are streamed past the store: the smallest ones that fit are held; if what is left
   is less than the array's own tile of the streamed ones, the largest held one is streamed too.
2. With ``flush``, a computation that streams first empties the store of what it does not use.
3. What is held is fetched, or made room for, smallest operand first; the tiles with the smallest keys leave for it,
   never those of the computation itself.
4. A tile that leaves is written to DRAM if it will be used again and DRAM has no copy: weights never, outputs once,
   states whenever they have changed. A tile whose last use is over is freed; states are then written too where that is
   charged. Answers are written when they are made.

Method: the memory manager of STEMS (arXiv 2502.03287, public code); ``choices.Rules`` tells what differs.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ranvier.compiler.passes.mapping.compiled import compiled
from ranvier.compiler.schedule.choices import Rules
from ranvier.compiler.schedule.tables import Ints, Tables, Tiles
from ranvier.compiler.schedule.uses import OUTPUT, STATE, Uses


class Event(IntEnum):
    """What happens to a tile, or (``RUN``) which computation runs.

    ``FETCH`` DRAM to store; ``MAKE`` room in the store; ``WRITE`` store to DRAM; ``EVICT`` leaves the store although it
    will be used again, ``FREE`` because it will not; ``READ`` DRAM to the array, past the store, for the next
    computation; ``SEND`` from the last computation to DRAM.
    """

    FETCH = 0
    MAKE = 1
    WRITE = 2
    EVICT = 3
    READ = 4
    SEND = 5
    RUN = 6
    FREE = 7


INCOMING = (Event.FETCH, Event.READ)
OUTGOING = (Event.WRITE, Event.SEND)
FETCH, MAKE, WRITE, EVICT, READ, SEND, RUN, FREE = (int(event) for event in Event)


class _Store(NamedTuple):
    """The store by tile; ``numbers``: tiles in it, bits in it, events so far, the most bits that were in it."""

    inside: Ints
    stored: Ints
    key: Ints
    left: Ints
    held: Ints
    used: Ints
    list: Ints
    position: Ints
    events: Ints
    numbers: Ints


class _Limits(NamedTuple):
    """What the manager has to keep to: ``Rules`` and the sizes of the memories."""

    capacity: int
    spatial: Ints
    flush: bool
    charged: bool


def manage(t: Tables, sequence: Ints, plan: Uses, capacity: int, spatial: Ints, rules: Rules) -> tuple[Ints, int]:
    """The events (n, 2) int64, kind and tile or computation, and the most bits that the store ever holds.

    ``capacity`` of the store in bits; ``spatial``: bits of the array's own tile by role.
    """
    count = t.tiles.bits.size
    inside, key, left, listed, position = np.zeros((5, count), np.int64)
    held, used = np.full((2, count), -1, np.int64)
    events = np.empty((4 * plan.tile.size + len(sequence), 2), np.int64)
    numbers = np.zeros(4, np.int64)
    store = _Store(inside, t.tiles.stored.copy(), key, left, held, used, listed, position, events, numbers)
    limits = _Limits(capacity, spatial, rules.flush, rules.state_io == "charged")
    _manage(sequence, plan, t.tiles, t.nodes.answers, limits, store)
    return events[: store.numbers[2]].copy(), int(store.numbers[3])


@compiled
def _manage(sequence: Ints, plan: Uses, tiles: Tiles, answers: Ints, limits: _Limits, store: _Store) -> None:
    for c in range(len(sequence)):
        groups = np.arange(plan.group[c], plan.group[c + 1])
        bits = np.zeros(groups.size, np.int64)
        for n in range(groups.size):
            for u in range(plan.use[groups[n]], plan.use[groups[n] + 1]):
                bits[n] += tiles.bits[plan.tile[u]]
                store.used[plan.tile[u]] = c
        smallest = np.argsort(bits, kind="mergesort")
        kept = _kept(bits[smallest], plan.role[groups[smallest]], limits.capacity, limits.spatial)
        if limits.flush and kept < groups.size:
            _flush(store, tiles, c, limits.charged)
        for n in range(kept):
            _hold(store, plan, tiles, groups[smallest[n]], limits, c)
        for n in range(kept, groups.size):
            _stream(store, plan, groups[smallest[n]])
        _emit(store, RUN, c)
        for g in groups:
            _finish(store, plan, tiles, g, answers[sequence[c, 0]], limits.charged)


@compiled
def _kept(bits: Ints, roles: Ints, capacity: int, spatial: Ints) -> int:
    """How many of the operands, smallest first, are held."""
    kept, room = 0, capacity
    while kept < bits.size and bits[kept] <= room:
        room -= bits[kept]
        kept += 1
    while 0 < kept < bits.size:
        beside = 0
        for n in range(kept, bits.size):
            beside += min(spatial[roles[n]], bits[n])
        if room >= beside:
            break
        kept -= 1
        room += bits[kept]
    return kept


@compiled
def _flush(store: _Store, tiles: Tiles, c: int, charged: bool) -> None:
    for n in range(store.numbers[0] - 1, -1, -1):
        if store.used[store.list[n]] != c:
            _evict(store, tiles, store.list[n], charged)


@compiled
def _hold(store: _Store, plan: Uses, tiles: Tiles, group: int, limits: _Limits, c: int) -> None:
    """Bring an operand into the store, what it takes of room with it."""
    for u in range(plan.use[group], plan.use[group + 1]):
        store.held[plan.tile[u]] = c
    for u in range(plan.use[group], plan.use[group + 1]):
        tile = plan.tile[u]
        if store.inside[tile]:
            continue
        while store.numbers[1] + tiles.bits[tile] > limits.capacity:
            _evict(store, tiles, _first_to_go(store, c), limits.charged)
        _emit(store, FETCH if store.stored[tile] else MAKE, tile)
        store.inside[tile] = 1
        store.position[tile] = store.numbers[0]
        store.list[store.numbers[0]] = tile
        store.numbers[0] += 1
        store.numbers[1] += tiles.bits[tile]
        store.numbers[3] = max(store.numbers[3], store.numbers[1])


@compiled
def _first_to_go(store: _Store, c: int) -> int:
    """The tile with the smallest key that this computation does not hold; ties go to the smallest number."""
    found = -1
    for n in range(store.numbers[0]):
        tile = store.list[n]
        if store.held[tile] != c and (found < 0 or (store.key[tile], tile) < (store.key[found], found)):
            found = tile
    return found


@compiled
def _evict(store: _Store, tiles: Tiles, tile: int, charged: bool) -> None:
    needed = store.left[tile] > 0 or (charged and tiles.role[tile] == STATE)
    if needed and not store.stored[tile]:
        _emit(store, WRITE, tile)
        store.stored[tile] = 1
    _emit(store, EVICT if store.left[tile] > 0 else FREE, tile)
    store.inside[tile] = 0
    last = store.list[store.numbers[0] - 1]
    store.list[store.position[tile]] = last
    store.position[last] = store.position[tile]
    store.numbers[0] -= 1
    store.numbers[1] -= tiles.bits[tile]


@compiled
def _stream(store: _Store, plan: Uses, group: int) -> None:
    """Read an operand past the store, but what of it is there anyway."""
    if plan.role[group] == OUTPUT:
        return
    for u in range(plan.use[group], plan.use[group + 1]):
        if not store.inside[plan.tile[u]] and store.stored[plan.tile[u]]:
            _emit(store, READ, plan.tile[u])


@compiled
def _finish(store: _Store, plan: Uses, tiles: Tiles, group: int, answer: int, charged: bool) -> None:
    """After a computation: new values, what goes to DRAM at once, and what is not used any more."""
    role = plan.role[group]
    for u in range(plan.use[group], plan.use[group + 1]):
        tile = plan.tile[u]
        store.left[tile], store.key[tile] = plan.left[u], plan.key[u]
        if role in (OUTPUT, STATE):
            final = bool(answer) if role == OUTPUT else charged
            store.stored[tile] = 0
            if not store.inside[tile]:
                if plan.left[u] > 0 or final:
                    _emit(store, SEND, tile)
                    store.stored[tile] = 1
            elif final and (role == OUTPUT or plan.left[u] == 0):
                _emit(store, WRITE, tile)
                store.stored[tile] = 1
        if store.inside[tile] and plan.left[u] == 0:
            _evict(store, tiles, tile, False)


@compiled
def _emit(store: _Store, kind: int, what: int) -> None:
    store.events[store.numbers[2], 0] = kind
    store.events[store.numbers[2], 1] = what
    store.numbers[2] += 1
