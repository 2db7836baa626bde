# ruff: noqa: PLC0415 - matplotlib is an extra, imported when a picture is wanted
"""The picture of a schedule: when each layer runs, what the store holds meanwhile, and the Pareto front."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.schedule.choices import describe
from ranvier.compiler.schedule.manager import INCOMING, OUTGOING, Event
from ranvier.compiler.schedule.tables import Ints, Role

if TYPE_CHECKING:
    from ranvier.exploration.explore import Exploration

GREY, BLUE, ORANGE, GREEN, PURPLE = "#9a9a9a", "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ROLES = ((Role.WEIGHT, "weights", GREY), (Role.STATE, "states", ORANGE), (Role.OUTPUT, "activations", BLUE))
KIB = 8 * 2**10


def draw(exploration: "Exploration", path: Path) -> None:
    """Write the picture to ``path``, in the format of its ending; raises ``RanvierError`` RV543."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise error("RV543", "plot", "pictures need matplotlib", "install ranvier[tune]") from missing
    rows = len(exploration.workload.layers)
    figure = Figure(figsize=(12, 3.6 + 0.17 * rows), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(max(rows / 6, 1.2), 1))
    gantt = figure.add_subplot(grid[0, 0])
    store = figure.add_subplot(grid[1, 0], sharex=gantt)
    _gantt(gantt, exploration)
    _store(store, exploration)
    _front(figure.add_subplot(grid[:, 1]), exploration)
    title = f"{exploration.workload.name} on {exploration.target}: {describe(exploration.chosen.schedule)}"
    figure.suptitle(title, fontsize=11)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as problem:
        fix = "give a path that ends in .png, .svg or .pdf"
        raise error("RV543", str(path), f"it cannot be written: {problem}", fix) from problem


def _gantt(axes: Any, exploration: "Exploration") -> None:
    """A bar for every computation; those that follow each other without a gap are one."""
    plan, spans = exploration.plan, exploration.costs.spans
    for number, layer in enumerate(exploration.workload.layers):
        choice = plan.schedule[exploration.workload.block_of[layer.name]]
        own = spans[plan.sequence[:, 0] == number + plan.tables.sources]
        color = GREEN if choice.batched else PURPLE
        bars = _merged(own)
        axes.broken_barh([(a, b - a) for a, b in bars], (number - 0.4, 0.8), color=color,
                         alpha=1.0 if choice.fused else 0.55, linewidth=0.4, edgecolor=color)  # fmt: skip
    axes.set_yticks(range(len(exploration.workload.layers)), [layer.name for layer in exploration.workload.layers])
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_title(
        "green: all steps at once, purple: one step at a time; full: fused, pale: layer by layer", fontsize=8
    )


def _merged(spans: Ints) -> list[tuple[int, int]]:
    if not len(spans):
        return []
    first = np.concatenate([[True], spans[1:, 0] != spans[:-1, 1]])
    last = np.concatenate([first[1:], [True]])
    return list(zip(spans[first, 0].tolist(), spans[last, 1].tolist(), strict=True))


def _store(axes: Any, exploration: "Exploration") -> None:
    """What the store holds at each computation, by operand, and what has moved off chip until then."""
    from matplotlib.ticker import EngFormatter

    plan, spans = exploration.plan, exploration.costs.spans
    time = np.append(spans[:, 0], spans[-1, 1])
    kinds, what = plan.events[:, 0], plan.events[:, 1]
    tiles, runs = plan.tables.tiles, kinds == Event.RUN
    tile = np.where(runs, 0, what)
    sign = np.isin(kinds, (Event.FETCH, Event.MAKE)).astype(np.int64) - np.isin(kinds, (Event.EVICT, Event.FREE))
    levels = [
        _lasting(np.cumsum(sign * tiles.bits[tile] * (tiles.role[tile] == role))[runs]) / KIB for role, *_ in ROLES
    ]
    axes.stackplot(time, *levels, labels=[label for _, label, _ in ROLES], colors=[c for *_, c in ROLES], step="post")
    axes.axhline(plan.core.store.size_bits.v / KIB, color="black", linestyle="--", linewidth=1)
    axes.set_ylabel("store [KiB]")
    axes.set_xlabel("cycles")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.legend(loc="upper left", fontsize=7)
    moved = _lasting(np.cumsum(np.isin(kinds, (*INCOMING, *OUTGOING)) * tiles.bits[tile])[runs]) / KIB
    other = axes.twinx()
    other.plot(time, moved, color="black", linewidth=1)
    other.set_ylabel("off chip so far [KiB]")
    other.set_ylim(bottom=0)


def _lasting(values: Ints) -> Ints:
    """``values`` at the beginning of each computation, with the last one again for the end."""
    return np.append(values, values[-1])


def _front(axes: Any, exploration: "Exploration") -> None:
    """Traffic against energy of the uniform schedules, the front, and the chosen one."""
    found = exploration.found
    shown = (
        (list(found.uniform.values()), {"color": GREY, "marker": "o", "s": 30, "label": "uniform"}),
        (list(found.pareto), {"color": BLUE, "marker": "s", "s": 26, "label": "Pareto front"}),
        ([exploration.chosen], {"color": ORANGE, "marker": "*", "s": 150, "label": "chosen"}),
    )
    for points, style in shown:
        axes.scatter([p.dram_bits / KIB for p in points], [p.energy_pj / 1e6 for p in points], **style)
    for choice, point in found.uniform.items():
        axes.annotate(str(choice), (point.dram_bits / KIB, point.energy_pj / 1e6), fontsize=7,
                      textcoords="offset points", xytext=(4, 4))  # fmt: skip
    axes.set_xlim(0, 1.2 * max(point.dram_bits for points, _ in shown for point in points) / KIB)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("off chip [KiB]")
    axes.set_ylabel("energy [uJ]")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7)
