# ruff: noqa: PLC0415 - matplotlib is an extra, imported when a picture is wanted
"""The picture of what devices that are not ideal do: the share of right answers, and how far chips differ."""

from pathlib import Path
from typing import Any, Final

from ranvier.compiler.diagnostics import error
from ranvier.runtimes.perturb.results import Curve, Point, Robustness

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c8c8c"  # distinct for colour-blind eyes, and in print
TITLES: Final = {"noise": "all effects, weaker and stronger", "time": "ageing", "effects": "each effect alone"}


def draw(found: Robustness, path: Path) -> None:
    """Write the curves to ``path``, in the format of its ending; raises ``RanvierError`` RV556."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise error("RV556", "curve", "pictures need matplotlib", "install ranvier[tune]") from missing
    figure = Figure(figsize=(4.2 * len(found.curves), 3.8), layout="constrained")
    for axes, curve in zip(
        figure.subplots(1, len(found.curves), sharey=True, squeeze=False)[0], found.curves, strict=True
    ):
        _curve(axes, curve, found.accuracy)
    labelled = found.accuracy is not None
    figure.axes[0].set_ylabel("accuracy [%]" if labelled else "answers as unperturbed [%]")
    shown_as = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown_as, loc="outside lower center", ncols=len(shown_as[0]), fontsize="small")
    figure.suptitle(f"{found.device}: {found.trials} chips, {found.samples} samples")
    try:
        with rc_context({"svg.hashsalt": "ranvier"}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as problem:
        fix = "give a path that ends in .svg, .png or .pdf"
        raise error("RV556", str(path), f"it cannot be written: {problem}", fix) from problem


def shown(point: Point) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """The mean, its interval and the range of chips that a picture shows: accuracy, or without labels what stayed."""
    if point.accuracy is None or point.interval is None or point.chips is None:
        return point.same, point.same_interval, (min(point.values), max(point.values))
    return point.accuracy, point.interval, point.chips


def _curve(axes: Any, curve: Curve, unperturbed: float | None) -> None:
    places = [p.x for p in curve.points] if curve.unit else list(range(len(curve.points)))
    known = [shown(p) for p in curve.points]
    means = [100 * mean for mean, _, _ in known]
    spans = [[100 * (mean - low) for mean, (low, _), _ in known], [100 * (high - mean) for mean, (_, high), _ in known]]
    axes.errorbar(
        places, means, spans, color=BLUE, marker="o", capsize=3, linestyle="-" if curve.unit else "none",
        label="mean of chips, 95 %",
    )  # fmt: skip
    ends = [[100 * low for _, _, (low, _) in known], [100 * high for _, _, (_, high) in known]]
    if curve.unit:
        axes.fill_between(places, *ends, color=BLUE, alpha=0.15, linewidth=0, label="9 of 10 chips")
        axes.set_xscale("log")
    else:
        axes.vlines(places, *ends, color=BLUE, alpha=0.15, linewidth=8)
    if unperturbed is not None:
        axes.axhline(100 * unperturbed, color=ORANGE, linestyle="--", linewidth=1, label="unperturbed")
    axes.set_xticks(places, [p.label for p in curve.points], rotation=30, ha="right", fontsize="small")
    axes.minorticks_off()
    axes.set_title(TITLES.get(curve.name, curve.name), fontsize="medium")
    axes.set_xlabel(curve.axis)
    axes.grid(visible=True, color=GREY, alpha=0.3)
