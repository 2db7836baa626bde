"""The report's figures as plotly understands them: plain dictionaries, drawn in the reader's browser.

Colours are those of Okabe and Ito, which colour-blind eyes keep apart; what they say is also said by position, dash or
pattern, so that the page can be printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ranvier.cli.tables import plural
from ranvier.summary import Report

GREY, ORANGE, SKY, GREEN, BLUE, RED = "#8c8c8c", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00"
PLAIN: "Look" = (BLUE, "")
HATCHED: "Look" = (ORANGE, "/")
ROWS_SHOWN = 400
SPIKE_COLORS = [[0, "rgba(0,0,0,0)"], [0.33, "rgba(0,0,0,0)"], [0.33, GREY], [0.66, GREY], [0.66, RED], [1, RED]]
Json = Mapping[str, Any]
Look = tuple[str, str]
"""Colour and pattern."""


@dataclass(frozen=True)
class Figure:
    """One figure: ``caption`` says in words what it shows, for those who do not see it."""

    name: str
    title: str
    caption: str
    data: Sequence[Json]
    layout: Json

    @property
    def spec(self) -> Json:
        """What the browser draws."""
        return {"data": list(self.data), "layout": dict(self.layout)}


def disagreement(layers: Sequence[Json]) -> Figure:
    """Share of differing spikes per layer, free running and forced."""
    names = [layer["layer"] for layer in layers]
    bars = [
        _bars(words, names, [100 * (1 - layer[mode]["agreement"]) for layer in layers], look)
        for mode, words, look in (("free", "free running", PLAIN), ("forced", "forced with the float spikes", HATCHED))
    ]
    worst = min(layers, key=lambda layer: layer["free"]["agreement"])
    caption = (
        f"Most differ in {worst['layer']}: {1 - worst['free']['agreement']:.2%} of its neuron-steps, running free."
    )
    return Figure("spikes", "Spikes that differ, by layer", caption, bars, _axis("neuron-steps that differ [%]"))


def membrane_errors(layers: Sequence[Json]) -> Figure | None:
    """Root mean square error of the membranes per layer, in thresholds."""
    known = [layer for layer in layers if layer["free"]["membrane_rms"] is not None]
    if not known:
        return None
    names = [layer["layer"] for layer in known]
    bars = [
        _bars(words, names, [layer[mode]["membrane_rms"] for layer in known], look)
        for mode, words, look in (("free", "free running", PLAIN), ("forced", "forced with the float spikes", HATCHED))
    ]
    caption = "Distance of the deployed membranes from the float ones, root mean square, in units of the threshold."
    return Figure("membranes", "Membrane error by layer", caption, bars, _axis("thresholds"))


def effects(found: Sequence[Json]) -> Figure | None:
    """What each approximation costs: differing spikes if it alone were exact, and if it alone were made."""
    whole = [effect for effect in found if effect["layer"] is None]
    if not whole:
        return None
    names = [effect["approximation"] for effect in whole]
    sides = (
        ("agreement_alone", "if it alone were made", (RED, "\\")),
        ("agreement_if_exact", "if it alone were exact", (GREEN, "")),
    )
    bars = [_bars(words, names, [100 * (1 - e[key]) for e in whole], look, across=True) for key, words, look in sides]
    worst = min(whole, key=lambda effect: effect["agreement_alone"])
    caption = f"Alone, {worst['approximation']} would change {1 - worst['agreement_alone']:.2%} of all neuron-steps."
    return Figure("effects", "What each approximation costs", caption, bars, _across("neuron-steps that differ [%]"))


def margins(report: Report) -> Figure | None:
    """How much of each register the bounds take: proved where at most all of it."""
    bounds = report.registers
    if not bounds:
        return None
    used = [max(b.high / b.most if b.most else 0.0, b.low / b.least if b.least else 0.0) for b in bounds]
    shares = list(zip(bounds, used, strict=True))
    groups = (
        ("proved", (GREEN, ""), [p for p in shares if p[0].proved]),
        ("open", (RED, "x"), [p for p in shares if not p[0].proved]),
    )
    bars = [
        _bars(words, [f"{b.population} {b.where}" for b, _ in chosen], [100 * u for _, u in chosen], look, across=True)
        for words, look, chosen in groups
        if chosen
    ]
    full = {
        "type": "line",
        "x0": 100,
        "x1": 100,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dash", "color": GREY},
    }
    layout = {**_across("bound for all inputs [% of the register]"), "shapes": [full], "height": 160 + 22 * len(bounds)}
    layout["xaxis"] = {**layout["xaxis"], "type": "log"}
    count = sum(b.proved for b in bounds)
    caption = f"Overflow is impossible for every input in {count} of {len(bounds)} registers."
    return Figure("margins", "Overflow margins", caption, bars, layout)


def memory(report: Report) -> Figure | None:
    """Bytes of weights and states per layer."""
    if report.memory is None or report.memory_bytes is None:
        return None
    names = [layer.name for layer in report.memory.layers]
    bars = [
        _bars("weights", names, [layer.weight_bytes / 1024 for layer in report.memory.layers], PLAIN),
        _bars("states", names, [layer.state_bytes / 1024 for layer in report.memory.layers], HATCHED),
    ]
    caption = f"{plural(report.cores, 'core')} of {report.target}, {report.memory_bytes / 1024:.1f} KiB in all."
    return Figure("memory", "Memory by layer", caption, bars, {**_axis("KiB"), "barmode": "stack"})


def energy(report: Report) -> Figure | None:
    """Dynamic energy per inference by layer and part."""
    if report.energy is None or report.energy.dynamic_nj is None:
        return None
    layers = report.energy.layers
    parts = (("synapses", BLUE, ""), ("neurons", ORANGE, "/"), ("spikes", GREEN, "x"), ("network", SKY, "."))
    bars = [_bars(part, list(layers), [getattr(e, part) for e in layers.values()], (c, p)) for part, c, p in parts]
    caption = f"{report.energy.dynamic_nj.value / 1e3:.3g} uJ a sample, by the constants of {report.energy.basis}."
    return Figure("energy", "Energy by layer", caption, bars, {**_axis("nJ per inference"), "barmode": "stack"})


def confusion(tables: Mapping[str, Sequence[Sequence[int]]]) -> list[Figure]:
    """Right class against answer, for the float and the deployed network."""
    found = []
    for side, table in tables.items():
        counts = np.asarray(table)
        if counts.ndim != 2 or not counts.size:
            continue
        right, total = int(np.trace(counts)), int(counts.sum())
        data = {
            "type": "heatmap", "z": counts.tolist(), "colorscale": "Cividis", "showscale": False,
            "text": counts.tolist(), "texttemplate": "%{text}" if len(counts) <= 30 else "",
            "hovertemplate": "class %{y} answered as %{x}: %{z}<extra></extra>",
        }  # fmt: skip
        axis = {"dtick": 1 if len(counts) <= 30 else 10, "constrain": "domain"}
        layout = {
            "xaxis": {**axis, "title": {"text": "answer"}},
            "yaxis": {**axis, "title": {"text": "right class"}, "autorange": "reversed", "scaleanchor": "x"},
            "height": 460,
        }
        caption = f"{right} of {total} samples are answered rightly by the {side} network."
        found.append(Figure(f"confusion-{side}", f"Confusion, {side} network", caption, [data], layout))
    return found


def raster(trace: Json, layer: Json, steps: int) -> Figure:
    """The spikes of a layer in one sample, float and deployed side by side; what only one side sent stands out."""
    neurons = int(np.prod(layer["shape"]))
    sides = {side: _grid(layer[side]["spikes"], steps, neurons) for side in ("float", "deployed")}
    both = (sides["float"] > 0) & (sides["deployed"] > 0)
    data = [
        {"type": "heatmap", "z": np.where(grid > 0, np.where(both, 1, 2), 0).tolist(), "zmin": 0, "zmax": 2,
         "colorscale": SPIKE_COLORS, "showscale": False, "xaxis": f"x{axis}", "yaxis": f"y{axis}", "hoverongaps": False,
         "hovertemplate": "step %{x}, row %{y}<extra></extra>"}
        for axis, grid in (("", sides["float"]), ("2", sides["deployed"]))
    ]  # fmt: skip
    count = len(sides["float"])
    words = "neuron" if neurons <= ROWS_SHOWN else f"row of {_per_row(neurons)} neurons"
    rows = {"title": {"text": words}, "range": [count - 0.5, -0.5]}
    layout = {
        "grid": {"rows": 1, "columns": 2},
        "xaxis": {"title": {"text": "step, float"}, "domain": [0, 0.48], "range": [-0.5, steps - 0.5]},
        "xaxis2": {"title": {"text": "step, deployed"}, "domain": [0.52, 1], "matches": "x", "anchor": "y2"},
        "yaxis": rows,
        "yaxis2": {"matches": "y", "showticklabels": False, "anchor": "x2"},
        "height": 220 + min(count, 200),
    }
    only = [int((sides[a] > 0).sum() - both.sum()) for a in ("float", "deployed")]
    caption = (
        f"Grey: both fired; red: one side only ({only[0]} places only float, {only[1]} only deployed). "
        f"{layer['float']['total']} spikes float, {layer['deployed']['total']} deployed."
    )
    return Figure(f"raster-{trace['sample']}-{layer['layer']}", f"{layer['layer']}: spikes", caption, data, layout)


def membranes(trace: Json, layer: Json) -> list[Figure]:
    """The membranes of the neurons around the first difference, float and deployed, with the threshold."""
    found = []
    for item in layer["membranes"]:
        steps = list(range(layer["from_step"], layer["from_step"] + len(item["float"])))
        lines = [
            {"type": "scatter", "mode": "lines+markers", "name": side, "x": steps, "y": item[side],
             "line": {"color": color, "dash": dash}, "marker": {"symbol": symbol, "size": 5}}
            for side, color, dash, symbol in (("float", ORANGE, "solid", "circle"), ("deployed", BLUE, "dot", "x"))
        ]  # fmt: skip
        if item["threshold"] is not None:
            ends = {"x": [steps[0], steps[-1]], "y": [item["threshold"]] * 2}
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "threshold",
                    **ends,
                    "line": {"color": GREY, "dash": "dash"},
                }
            )
        layout = {
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"title": {"text": "membrane before reset"}},
            "height": 260,
        }
        name = f"membrane-{trace['sample']}-{layer['layer']}-{item['neuron']}"
        found.append(
            Figure(
                name,
                f"{layer['layer']}: membrane of neuron {item['neuron']}",
                "In units of the source network.",
                lines,
                layout,
            )
        )
    return found


def _bars(name: str, labels: Sequence[str], values: Sequence[float], look: Look, across: bool = False) -> Json:
    """Bars of one colour and pattern, upright or ``across``."""
    color, pattern = look
    x, y = (values, labels) if across else (labels, values)
    marker = {"color": color, "pattern": {"shape": pattern}}
    return {
        "type": "bar",
        "name": name,
        "x": list(x),
        "y": list(y),
        "marker": marker,
        "orientation": "h" if across else "v",
    }


def _axis(text: str) -> dict[str, Any]:
    return {"yaxis": {"title": {"text": text}}, "barmode": "group"}


def _across(text: str) -> dict[str, Any]:
    rows = {"automargin": True, "autorange": "reversed"}
    return {"xaxis": {"title": {"text": text}}, "yaxis": rows, "barmode": "group"}


def _grid(spikes: Sequence[Sequence[int]], steps: int, neurons: int) -> Any:
    """(rows, steps) number of spikes, with at most ``ROWS_SHOWN`` rows of as many neurons each."""
    grid = np.zeros((-(-neurons // _per_row(neurons)), steps), np.int64)
    if spikes:
        step, neuron = np.asarray(spikes, np.int64).T
        np.add.at(grid, (neuron // _per_row(neurons), step), 1)
    return grid


def _per_row(neurons: int) -> int:
    return -(-neurons // ROWS_SHOWN)
