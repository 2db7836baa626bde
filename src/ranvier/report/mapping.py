"""Where the program lies, as plotly's figures: placement, traffic, use of each core, cost of each layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ranvier.cli.tables import plural
from ranvier.report import colours
from ranvier.report.cores import Cores, Held
from ranvier.report.figures import BLUE, GREEN, GREY, ORANGE, RED, SKY, Figure, Json
from ranvier.report.layout import Layout

NAMED = 40
"""Up to so many layers are named in the legend."""
RESOURCES = ((BLUE, ""), (ORANGE, "/"), (GREEN, "x"), (SKY, "."), (RED, "\\"), (GREY, "+"))
HATCHED = 200
"""Below so many cores their bars have patterns."""
LINK = 0.3
"""The length of the busiest link as drawn, from one middle of a tile to the next."""
SMALLEST = 6.0
"""Pixels of the smallest sign."""
WIDTH, MAP = 960.0, 0.75
"""Pixels across a figure, and the share of them that a map takes."""


def mapping_figures(seen: Cores) -> list[Figure]:
    """All figures that the program has; use of cores is known for meshes only."""
    found = [placement(seen), traffic(seen)]
    if seen.uses:
        found.append(utilisation(seen))
    return [*found, layer_cost(seen)]


def placement(seen: Cores) -> Figure:
    """Which layers each core holds."""
    number = {name: n for n, name in enumerate(seen.layers)}
    chosen = colours.of_layers(len(seen.layers))
    bands, last = banded(seen), len(seen.layers) - 1
    shown = [n for n in range(len(number)) if len(number) <= NAMED or n % -(-len(number) // NAMED) == 0]
    heat = {
        **_heat(seen.map, {unit: [last - n for n in ns] for unit, ns in bands.items()}),
        "zmin": -0.5, "zmax": last + 0.5, "colorscale": colours.steps(chosen[::-1]),
        "hovertext": _matrix(seen.map, {u: f"{seen.where[u]}<br>{contents(h)}" for u, h in seen.held.items()}),
        "colorbar": {
            "tickvals": [last - n for n in shown],
            "ticktext": [escape(shortened(f"{n + 1} {seen.layers[n]}")) for n in shown],
            "title": {"text": "layer"},
            "thickness": 14, "outlinewidth": 0, "len": 1,
        },
    }  # fmt: skip
    labels = _labels(seen.map, layer_labels(seen, chosen), alike=False)
    return Figure("placement", "Placement", placement_words(seen), [heat, *labels], _plan(seen.map, len(shown)))


def traffic(seen: Cores) -> Figure:
    """How many messages each tile of the mesh handles."""
    names, most = {u: tile_words(seen, u) for u in seen.messages}, max(seen.messages.values(), default=0.0)
    data: list[Json] = [
        {
            **_heat(seen.mesh, {u: [v] for u, v in seen.messages.items()}), "zmin": 0, "zmax": most or 1.0,
            "colorscale": colours.scale(),
            "hovertext": _matrix(seen.mesh, {u: f"{names[u]}<br>{short(v)} a step" for u, v in seen.messages.items()}),
            "colorbar": {
                "title": {"text": "messages<br>a step"}, "thickness": 14, "outlinewidth": 0, "exponentformat": "SI",
            },
        }
    ]  # fmt: skip
    data += _labels(seen.mesh, traffic_labels(seen), alike=True)
    if (link := link_ends(seen)) is not None:
        (x0, y0), (x1, y1) = link
        line = {"color": RED, "width": 5}
        data.append(
            {"type": "scatter", "mode": "lines", "x": [x0, x1], "y": [y0, y1], "name": "busiest link", "line": line,
             "hoverinfo": "name", "showlegend": True}
        )  # fmt: skip
    return Figure("traffic", "Traffic", traffic_words(seen), data, _plan(seen.mesh, 0))


def utilisation(seen: Cores) -> Figure:
    """How much of its scarcest resource each core uses."""
    resources, few = sorted({use.resource for use in seen.uses}), len(seen.uses) < HATCHED
    data = []
    for n, name in enumerate(resources):
        color, pattern = RESOURCES[n % len(RESOURCES)]
        own = [use for use in seen.uses if use.resource == name]
        words = [f"core {u.core}: {u.used:,} of {u.limit:,} {plain(name)} ({u.percent:.1f} %)" for u in own]
        data.append(
            {"type": "bar", "name": plain(name), "x": [u.core for u in own], "y": [round(u.percent, 2) for u in own],
             "hovertext": words, "hoverinfo": "text", "showlegend": True,
             "marker": {"color": color, "line": {"width": 0}, "pattern": {"shape": pattern if few else ""}}}
        )  # fmt: skip
    full = {
        "type": "line", "y0": 100, "y1": 100, "x0": 0, "x1": 1, "xref": "paper", "line": {"dash": "dash", "color": GREY}
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "core"}}, "barmode": "overlay", "shapes": [full],
        "yaxis": {"title": {"text": "scarcest resource, used [%]"}, "rangemode": "tozero"},
        "bargap": 0.15 if few else 0,
    }  # fmt: skip
    return Figure("utilisation", "Use of the cores", use_words(seen), data, layout)


def layer_cost(seen: Cores) -> Figure:
    """What each layer takes: cores, memory, messages, and energy where it is known."""
    panels = cost_panels(seen)
    names = [escape(shortened(f"{n + 1} {cost.layer}")) for n, cost in enumerate(seen.costs)]
    data, layout = [], dict[str, Any]()
    width = 1 / len(panels)
    for n, (title, parts) in enumerate(panels):
        axis = str(n + 1) if n else ""
        for (part, values), (color, pattern) in zip(parts, RESOURCES, strict=False):
            marker = {"color": color, "pattern": {"shape": pattern}}
            data.append(
                {"type": "bar", "orientation": "h", "name": part, "y": names, "x": values, "xaxis": f"x{axis}",
                 "yaxis": "y", "marker": marker, "showlegend": len(parts) > 1,
                 "hovertemplate": f"%{{y}}: %{{x:,.4~g}} {title}<extra>{part}</extra>"}
            )  # fmt: skip
        layout[f"xaxis{axis}"] = {
            "title": {"text": title}, "domain": [n * width + 0.02 * (n > 0), (n + 1) * width - 0.02], "nticks": 4,
            "anchor": "y", "exponentformat": "SI",
        }  # fmt: skip
    rows = {"automargin": True, "autorange": "reversed", "dtick": 1, "tickfont": {"size": 11}}
    layout |= {"yaxis": rows, "barmode": "stack", "height": 150 + 19 * max(len(names), 4)}
    return Figure("cost", "Cost by layer", cost_words(seen), data, layout)


def cost_panels(seen: Cores) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """The panels of the cost by layer: title with unit, and the parts that are stacked in it."""
    costs = seen.costs
    found = [("cores", [("cores", [float(c.cores) for c in costs])])]
    if any(c.weights_kib or c.states_kib for c in costs):
        parts = [("weights", [c.weights_kib for c in costs]), ("states", [c.states_kib for c in costs])]
        found.append(("memory [KiB]", parts))
    found.append(("messages sent a step", [("messages", [c.messages for c in costs])]))
    if any(c.energy_nj is not None for c in costs):
        found.append(("energy [nJ]", [("energy", [c.energy_nj or 0.0 for c in costs])]))
    return found


def placement_words(seen: Cores) -> str:
    """The caption of the placement."""
    text = f"{plural(len(seen.layers), 'layer')} on {seen.size}, each in the colour and with the number of its layer"
    shared = sum(len(held.neurons) > 1 for held in seen.held.values())
    text += f"; {shared:,} hold several, as bands by their neurons." if shared else "."
    return text if seen.map.meshed else f"{text} {unmeshed(seen)}"


def traffic_words(seen: Cores) -> str:
    """The caption of the traffic."""
    handled = "through each router" if seen.mesh.meshed else f"sent and received by each {seen.mesh.unit}"
    text = f"Messages {handled} in a step, {seen.rates}: {short(seen.load.messages)} between cores in all"
    if seen.mesh.meshed:
        text += f", {short(seen.load.hops)} mesh hops"
    if seen.load.between_chips:
        text += f", {short(seen.load.between_chips)} between chips"
    if seen.busiest is not None:
        load, chip, start, stop = seen.busiest
        text += f". The busiest link, {start} to {stop} on chip {chip}, carries {short(load)}"
    return f"{text}." if seen.mesh.meshed else f"{text}. {unmeshed(seen)}"


def use_words(seen: Cores) -> str:
    """The caption of the cores' use."""
    shares = np.array([use.percent for use in seen.uses])
    most = seen.uses[int(shares.argmax())]
    return (
        f"The resource that is nearest its limit on each core: {shares.mean():.0f} % on average, at most "
        f"{shares.max():.0f} % ({plain(most.resource)} of core {most.core}: {most.used:,} of {most.limit:,})."
    )


def cost_words(seen: Cores) -> str:
    """The caption of the cost by layer."""
    worst = max(seen.costs, key=lambda cost: cost.messages)
    text = f"Messages count one per spike and core that it reaches, {seen.rates}. {worst.layer} sends most"
    known = [cost for cost in seen.costs if cost.energy_nj is not None]
    if not known:
        return f"{text}."
    dearest = max(known, key=lambda cost: cost.energy_nj or 0.0)
    return f"{text}; {dearest.layer} takes most energy, {short(dearest.energy_nj or 0.0)} nJ a sample."


def unmeshed(seen: Cores) -> str:
    """Why the map is no map of the chip."""
    if seen.map.unit == "chip":
        return "Each cell is a chip, in the order of their numbers."
    return "Where cores lie on this chip is not published: they stand in the order of their numbers."


def contents(held: Held) -> str:
    """The layers on a unit and their neurons, in the browser's words."""
    return "<br>".join(f"{escape(name)}: {plural(count, 'neuron')}" for name, count in held.neurons.items())


def banded(seen: Cores) -> dict[int, list[float]]:
    """The number of the layer, from 0, of each band of each unit; the first layer on top."""
    number = {name: float(n) for n, name in enumerate(seen.layers)}
    return {unit: [number[name] for name in held.bands(seen.map.bands)[::-1]] for unit, held in seen.held.items()}


@dataclass(frozen=True)
class Label:
    """A text in a cell: its middle, the room it has (in tiles), and its colour."""

    text: str
    x: float
    y: float
    width: float
    height: float
    ink: str


def layer_labels(seen: Cores, chosen: Sequence[str]) -> list[Label]:
    """The numbers of the layers on each unit, up to three, of more the first two; on the longest run of bands."""
    number = {name: n + 1 for n, name in enumerate(seen.layers)}
    found = []
    for unit, bands in banded(seen).items():
        held = [str(number[name]) for name in seen.held[unit].neurons]
        text = ",".join(held) if len(held) <= 3 else f"{','.join(held[:2])}+"
        left, right, lower, upper = seen.map.cell(unit)
        first, length = _run(bands)
        part = (upper - lower) / len(bands)
        middle, ink = lower + (first + length / 2) * part, colours.ink(chosen[int(bands[first])])
        found.append(Label(text, (left + right) / 2, middle, right - left, length * part, ink))
    return found


def traffic_labels(seen: Cores) -> list[Label]:
    """The messages of each tile."""
    most, found = max(seen.messages.values(), default=0.0) or 1.0, []
    for unit, value in seen.messages.items():
        left, right, lower, upper = seen.mesh.cell(unit)
        middle = (left + right) / 2, (lower + upper) / 2
        ink = colours.ink(colours.heat(value / most))
        found.append(Label(short(value), *middle, right - left, upper - lower, ink))
    return found


def sized(labels: Sequence[Label], tile: float, sizes: tuple[float, float], alike: bool) -> list[tuple[Label, float]]:
    """The labels that fit with at least the smallest size, and their sizes; ``tile`` is the size of a tile.

    ``alike``: all have the size at which the longest fits.
    """
    least, most = sizes
    fits = [
        min(most, 0.75 * label.height * tile, label.width * tile / (0.62 * len(label.text) + 0.4)) for label in labels
    ]
    if alike:
        fits = [min(fits, default=0.0)] * len(fits)
    return [(label, size) for label, size in zip(labels, fits, strict=True) if size >= least]


def _run(values: Sequence[float]) -> tuple[int, int]:
    """Where the longest run of equal values starts, and its length."""
    best, start = (0, 1), 0
    for n in range(1, len(values) + 1):
        if n == len(values) or values[n] != values[start]:
            best = max(best, (start, n - start), key=lambda run: run[1])
            start = n
    return best


def tile_words(seen: Cores, unit: int) -> str:
    """A tile's name: that of its place without the core, where it is a tile."""
    words = seen.where[unit]
    return words.partition(", ")[2] if seen.mesh.meshed else words


def link_ends(seen: Cores) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Where the busiest link is drawn, across the gap of its tiles."""
    if seen.busiest is None or not seen.mesh.meshed:
        return None
    _, chip, start, stop = seen.busiest
    (x0, y0), (x1, y1) = seen.mesh.tile_centre(chip, start), seen.mesh.tile_centre(chip, stop)
    near, far = (1 - LINK) / 2, (1 + LINK) / 2
    return (x0 + near * (x1 - x0), y0 + near * (y1 - y0)), (x0 + far * (x1 - x0), y0 + far * (y1 - y0))


def shortened(text: str, most: int = 32) -> str:
    """``text`` on one line, of at most so many signs."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def plain(resource: str) -> str:
    """A resource's name in words."""
    return resource.replace("_", " ")


def short(value: float) -> str:
    """A count with three digits: 812, 1.24 k, 3.5 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _heat(plan: Layout, values: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    cells = [[None if np.isnan(v) else float(f"{v:.6g}") for v in row] for row in plan.matrix(values)]
    edges = [[round(edge, 4) for edge in axis.edges] for axis in (plan.x, plan.y)]
    return {
        "type": "heatmap", "x": edges[0], "y": edges[1], "z": cells, "hoverinfo": "text", "hoverongaps": False
    }  # fmt: skip


def _labels(plan: Layout, labels: Sequence[Label], alike: bool) -> list[Json]:
    """The labels that can be read, as large as fits."""
    shown = sized(labels, WIDTH * MAP / max(plan.x.edges[-1], 1.0), (SMALLEST, 12.0), alike)
    font = {"size": [round(size, 1) for _, size in shown], "color": [label.ink for label, _ in shown]}
    text = {
        "type": "scatter", "mode": "text", "x": [round(label.x, 4) for label, _ in shown],
        "y": [round(label.y, 4) for label, _ in shown], "text": [label.text for label, _ in shown],
        "hoverinfo": "skip", "textfont": font, "showlegend": False,
    }  # fmt: skip
    return [text] if shown else []


def _matrix(plan: Layout, texts: Mapping[int, str]) -> list[list[str]]:
    found = [[""] * (len(plan.x.edges) - 1) for _ in range(len(plan.y.edges) - 1)]
    for unit, text in texts.items():
        row, column = plan.places[unit]
        for band in range(plan.bands):
            found[row + band][column] = text
    return found


def _plan(plan: Layout, names: int) -> dict[str, Any]:
    """Axes of equal units without numbers, a frame and a name for each chip, height by the shape of the drawing."""
    wide, high = plan.x.edges[-1], plan.y.edges[-1]
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "showline": False, "ticks": ""}
    pad, line = 0.1, {"color": GREY, "width": 1}
    frames = [
        {"type": "rect", "x0": a - pad, "x1": b + pad, "y0": c - pad, "y1": d + pad, "line": line}
        for a, b, c, d in plan.frames.values()
    ]  # fmt: skip
    names_of_chips: Sequence[Json] = [
        {"x": a - pad, "y": d + pad, "text": f"chip {chip}", "showarrow": False, "xanchor": "left", "yanchor": "bottom",
         "font": {"size": 11}, "xref": "x", "yref": "y"}
        for chip, (a, _, _, d) in plan.frames.items()
    ]  # fmt: skip
    drawn = min(max(WIDTH * MAP * high / wide, 150.0), 620.0)
    return {
        "xaxis": {**hidden, "range": [-0.3, wide + 0.3], "constrain": "domain"},
        "yaxis": {**hidden, "range": [-0.3, high + 0.6], "scaleanchor": "x", "constrain": "domain"},
        "height": round(max(drawn + 60, 90 + 17 * names)), "margin": {"l": 12, "r": 12, "t": 36, "b": 12},
        "shapes": frames, "annotations": names_of_chips,
    }  # fmt: skip
