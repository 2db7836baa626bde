# ruff: noqa: PLC0415 - matplotlib is an extra, imported when a picture is wanted
"""The picture of a search: accuracy against memory, cores and energy."""

from pathlib import Path

from ranvier.compiler.diagnostics import error
from ranvier.tuning.budget import Budget
from ranvier.tuning.search import Tuned

AXES = (("memory", "memory [KiB]", 1024.0), ("cores", "cores", 1.0), ("energy", "dynamic energy [nJ]", 1.0))
GREY, BLUE, ORANGE = "#9a9a9a", "#0072b2", "#d55e00"  # distinct for colour-blind eyes, and in print


def draw(tuned: Tuned, budget: Budget, path: Path) -> None:
    """Write the picture to ``path``, in the format of its ending; raises ``RanvierError`` RV886."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise error("RV886", "plot", "pictures need matplotlib", "install ranvier[tune]") from missing
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (name, label, unit) in zip(figure.subplots(1, len(AXES), sharey=True), AXES, strict=True):
        for points, style in (
            (tuned.tried, {"color": GREY, "marker": "o", "s": 18, "label": "tried"}),
            (tuned.pareto, {"color": BLUE, "marker": "s", "s": 30, "label": "best within the budget"}),
            ((tuned.chosen,), {"color": ORANGE, "marker": "*", "s": 180, "label": "chosen"}),
        ):
            known = [(getattr(p.metrics, name), p.metrics.accuracy) for p in points]
            drawn = [(x / unit, 100 * y) for x, y in known if x is not None]
            axes.scatter([x for x, _ in drawn], [y for _, y in drawn], **style)
        limit = getattr(budget, name)
        if limit != float("inf"):
            axes.axvline(limit / unit, color="black", linestyle="--", linewidth=1, label="budget")
        axes.set_xlabel(label)
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("accuracy [%]")
    figure.axes[0].legend(loc="lower right")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as problem:
        raise error(
            "RV886", str(path), f"it cannot be written: {problem}", "give a path that ends in .png, .svg or .pdf"
        ) from problem
