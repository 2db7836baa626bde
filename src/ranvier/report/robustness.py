"""The figures of devices that are not ideal: one for each curve, with the interval of the mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from ranvier.report.figures import BLUE, GREY, Figure

TITLES = {"noise": "All effects, weaker and stronger", "time": "Ageing", "effects": "Each effect alone"}


def curves(found: Mapping[str, Any]) -> list[Figure]:
    """The figures of a verification's ``robustness``; none if it is empty."""
    return [_curve(found, curve) for curve in found.get("curves", ())]


def _curve(found: Mapping[str, Any], curve: Mapping[str, Any]) -> Figure:
    points: Sequence[Mapping[str, Any]] = curve["points"]
    labelled = found["accuracy"] is not None
    key, interval = ("accuracy", "interval") if labelled else ("same", "same_interval")
    means = [100 * p[key] for p in points]
    places = [p["x"] if curve["unit"] else p["label"] for p in points]
    low, high = ([abs(100 * p[interval][end] - 100 * p[key]) for p in points] for end in (0, 1))
    data: list[Mapping[str, Any]] = [
        {"type": "scatter", "mode": "lines+markers" if curve["unit"] else "markers", "name": "mean of chips, 95 %",
         "x": places, "y": means, "text": [p["label"] for p in points], "line": {"color": BLUE},
         "error_y": {"type": "data", "symmetric": False, "array": high, "arrayminus": low}}
    ]  # fmt: skip
    if labelled:
        data.append(
            {"type": "scatter", "mode": "lines", "name": "unperturbed", "x": [places[0], places[-1]],
             "y": [100 * found["accuracy"]] * 2, "line": {"color": GREY, "dash": "dash"}}
        )  # fmt: skip
    unit = f" [{curve['unit']}]" if curve["unit"] else ""
    layout = {
        "xaxis": {"title": {"text": curve["axis"] + unit}, "type": "log" if curve["unit"] else "category"},
        "yaxis": {"title": {"text": "accuracy [%]" if labelled else "answers as unperturbed [%]"}},
    }
    worst = min(points, key=lambda p: p[key])
    caption = f"{found['trials']} chips of {found['device']}, {found['samples']} samples. "
    caption += f"Lowest mean: {100 * worst[key]:.2f} % at {worst['label']}."
    return Figure(f"robustness-{curve['name']}", TITLES.get(curve["name"], curve["name"]), caption, data, layout)
