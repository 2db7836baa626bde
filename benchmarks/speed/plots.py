"""The plots of the page: times of all peers, and growth with its fitted laws."""

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed.peers import OURS, PEERS
from benchmarks.speed.record import Record, microseconds, passed, row_of
from benchmarks.speed.statistics import number

SPEED, GROWTH = "performance_speed.svg", "performance_growth.svg"
COLUMNS = 3
OWN, OTHER = "#c0392b", "#5d7b93"


def draw(record: Record, folder: Path) -> None:
    """Write the plots that ``record`` has data for into ``folder``."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and for this alone

    mpl.use("Agg")
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "ranvier", "svg.fonttype": "none"}):
        _speed(record, folder / SPEED)
        if record["growth"]:
            _growth(record, folder / GROWTH)


def _figure(count: int, height: float) -> tuple[Any, list[Any]]:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, height * rows), squeeze=False)
    flat = list(axes.flat)
    for axis in flat[count:]:
        axis.set_axis_off()
    return figure, flat[:count]


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _speed(record: Record, path: Path) -> None:
    """One panel a workload: a bar a peer at the largest batch, fastest on top."""
    names = [w["name"] for w in record["workloads"] if any(r["workload"] == w["name"] for r in record["rows"])]
    figure, axes = _figure(max(len(names), 1), 3.0)
    for axis, name in zip(axes, names, strict=False):
        rows = {p: row_of(record, name, p) for p in PEERS if passed(record, name, p)}
        times = sorted(((microseconds(r), p) for p, r in rows.items() if r is not None), reverse=True)
        colours = [OWN if peer.startswith(OURS) else OTHER for _, peer in times]
        axis.barh([peer for _, peer in times], [time for time, _ in times], color=colours)
        for place, (time, _) in enumerate(times):
            axis.text(time * 1.15, place, number(time), va="center", fontsize=8)
        axis.set_xscale("log")
        if times:
            axis.set_xlim(min(t for t, _ in times) / 3, max(t for t, _ in times) * 6)
        axis.set_title(f"{name}, batch {max((r['batch'] for r in rows.values() if r), default=0)}")
        axis.set_xlabel("us per sample and step")
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _growth(record: Record, path: Path) -> None:
    """One panel a law: points and the fitted line."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter  # noqa: PLC0415

    figure, axes = _figure(len(record["growth"]), 3.0)
    for axis, law in zip(axes, record["growth"], strict=True):
        x = np.asarray(law["x"])
        axis.loglog(x, 1000 * np.asarray(law["seconds"]), "o", color=OWN)
        axis.loglog(x, 1000 * law["factor"] * x ** law["exponent"], "-", color=OTHER)
        axis.set_xticks(x, [f"{value:g}" for value in x], minor=False)
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_title(f"{law['law']}: exponent {law['exponent']:.2f}, R2 {law['r2']:.3f}")
        axis.set_xlabel(law["unit"])
        axis.set_ylabel("ms")
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)
