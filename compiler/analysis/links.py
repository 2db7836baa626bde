"""Messages on every link and through every router of a mesh, for a placed program.

A message goes along x first, then along y, within its chip; each direction of a link counts for itself. A router
handles what its tile sends and what reaches it over a link. Messages between chips leave the mesh by a way that no
target file states: they are counted at the router of their source, on no link.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.flows import Flows
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.program import CoreSite


@dataclass(frozen=True, eq=False)
class Links:
    """Messages per step, (chips, height, width) each: ``chips`` holds the numbers of the chips.

    ``east[c, y, x]`` is on the link from (x, y) to (x + 1, y), ``west`` on the way back; ``north`` from (x, y) to
    (x, y + 1), ``south`` on the way back; ``routers`` through the router at (x, y).
    """

    chips: IntArray
    east: FloatArray
    west: FloatArray
    north: FloatArray
    south: FloatArray
    routers: FloatArray

    def busiest(self) -> tuple[float, int, tuple[int, int], tuple[int, int]]:
        """The most messages on one link, its chip, and the tiles (x, y) from which and to which it leads."""
        ways = ((self.east, 1, 0, False), (self.west, 1, 0, True), (self.north, 0, 1, False), (self.south, 0, 1, True))
        best: tuple[float, int, tuple[int, int], tuple[int, int]] = (0.0, 0, (0, 0), (0, 0))
        for load, dx, dy, back in ways:
            c, y, x = (int(i) for i in np.unravel_index(int(load.argmax()), load.shape))
            near, far = (x, y), (x + dx, y + dy)
            if load[c, y, x] > best[0]:
                best = (float(load[c, y, x]), int(self.chips[c]), *((far, near) if back else (near, far)))
        return best


def links(flow: Flows, sites: Sequence[CoreSite]) -> Links:
    """The load of ``flow`` where core i is at ``sites[i]``; all coordinates have to be known."""
    numbers, x, y = (np.array([getattr(site, name) for site in sites]) for name in ("chip", "x", "y"))
    assert int(min(x.min(), y.min())) >= 0, "the mesh is known"
    chips, chip = np.unique(numbers, return_inverse=True)
    shape = (chips.size, int(y.max()) + 1, int(x.max()) + 1)
    sent = np.zeros(shape)
    np.add.at(sent, (chip[flow.sources], y[flow.sources], x[flow.sources]), flow.messages)
    same = chip[flow.sources] == chip[flow.targets]
    a, b, load = flow.sources[same], flow.targets[same], flow.messages[same]
    east, west = (_along(shape, chip[a], y[a], start, stop, load) for start, stop in ((x[a], x[b]), (x[b], x[a])))
    turned = (shape[0], shape[2], shape[1])
    north, south = (
        _along(turned, chip[a], x[b], start, stop, load).swapaxes(1, 2) for start, stop in ((y[a], y[b]), (y[b], y[a]))
    )
    routers = sent + west + south
    routers[:, :, 1:] += east[:, :, :-1]
    routers[:, 1:, :] += north[:, :-1, :]
    return Links(np.asarray(chips, dtype=np.int64), east, west, north, south, routers)


def _along(
    shape: tuple[int, ...], chip: IntArray, lane: IntArray, start: IntArray, stop: IntArray, load: FloatArray
) -> FloatArray:
    """(chips, lanes, length) what goes from each place of a lane to the next, on ways with start before stop."""
    onward = start < stop
    change = np.zeros(shape)
    np.add.at(change, (chip[onward], lane[onward], start[onward]), load[onward])
    np.add.at(change, (chip[onward], lane[onward], stop[onward]), -load[onward])
    return np.asarray(np.cumsum(change, axis=2))
