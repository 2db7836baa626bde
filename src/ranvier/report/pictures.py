# ruff: noqa: PLC0415 - matplotlib is an extra, imported when a picture is wanted
"""The pictures of a placed program as files: placement, traffic, use of the cores, cost by layer; SVG, PNG or PDF."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.report import colours, mapping
from ranvier.report.cores import Cores
from ranvier.report.figures import BLUE, GREEN, GREY, ORANGE, RED, SKY
from ranvier.report.layout import Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
WIDTH = 10.0
"""Inches."""
LOOKS = ((BLUE, ""), (ORANGE, "//"), (GREEN, "xx"), (SKY, ".."), (RED, "\\\\"), (GREY, "++"))
SMALLEST = 3.5
"""Points of the smallest sign."""
LEGEND_ROWS = 20
STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "ranvier",
    "svg.fonttype": "none", "hatch.linewidth": 0.6, "figure.dpi": 150,
}  # fmt: skip


def write_pictures(seen: Cores, title: str, folder: Path, kind: str = "svg") -> tuple[Path, ...]:
    """Write every picture that there is of ``seen`` into ``folder``, as files of format ``kind``.

    ``title`` stands over each. The same program gives the same SVG. Raises ``RanvierError``: RV470 for another format,
    RV471 without matplotlib, RV472 for a folder that cannot be written.
    """
    if kind not in FORMATS:
        raise error("RV470", "option picture-format", f"{kind!r} is no format here", f"use one of {', '.join(FORMATS)}")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise error("RV471", "pictures", "pictures need matplotlib", "install ranvier[report]") from missing
    drawn: dict[str, Callable[[Cores, Figure, str], None]] = {
        "placement": _placement, "traffic": _traffic, "utilisation": _utilisation, "cost": _cost,
    }  # fmt: skip
    if not seen.uses:
        del drawn["utilisation"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from problem
    made = []
    with rc_context(STYLE):
        for name, draw in drawn.items():
            figure = Figure(layout="constrained")
            draw(seen, figure, title)
            made.append(_saved(figure, folder / f"{name}.{kind}", kind))
    return tuple(made)


def _saved(figure: "Figure", path: Path, kind: str) -> Path:
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    draft = path.with_name(f"{path.name}.part")
    try:
        figure.savefig(draft, format=kind, metadata=metadata)
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise _unwritable(path, problem) from problem
    return path


def _unwritable(path: Path, problem: OSError) -> RanvierError:
    text = f"it cannot be written: {problem.strerror or problem}"
    return error("RV472", str(path), text, "choose a folder that can be written")


def _placement(seen: Cores, figure: "Figure", title: str) -> None:
    """Cells in the colours of their layers, numbered where there is room, and a legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    number = {name: n for n, name in enumerate(seen.layers)}
    chosen = colours.of_layers(len(number))
    columns = -(-len(number) // LEGEND_ROWS)
    axes = _map(seen.map, figure, f"{title}: placement", mapping.placement_words(seen), rows=-(-len(number) // columns))
    bands = mapping.banded(seen)
    axes.pcolormesh(
        seen.map.x.edges, seen.map.y.edges, np.ma.masked_invalid(seen.map.matrix(bands)), cmap=ListedColormap(chosen),
        vmin=-0.5, vmax=len(chosen) - 0.5,
    )  # fmt: skip
    _labels(axes, seen.map, mapping.layer_labels(seen, chosen), alike=False)
    names = [_name(f"{n + 1} {name}") for name, n in number.items()]
    handles = [Patch(color=color, label=name) for name, color in zip(names, chosen, strict=True)]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False, ncols=columns, title="layer")


def _traffic(seen: Cores, figure: "Figure", title: str) -> None:
    """A heat map of the messages, and the busiest link."""
    from matplotlib.colors import LinearSegmentedColormap

    axes = _map(seen.mesh, figure, f"{title}: traffic", mapping.traffic_words(seen), rows=0)
    most = max(seen.messages.values(), default=0.0) or 1.0
    cells = seen.mesh.matrix({unit: [value] for unit, value in seen.messages.items()})
    scale = LinearSegmentedColormap.from_list("heat", [colours.heat(n / 255) for n in range(256)])
    heat = axes.pcolormesh(
        seen.mesh.x.edges, seen.mesh.y.edges, np.ma.masked_invalid(cells), cmap=scale, vmin=0, vmax=most
    )
    _labels(axes, seen.mesh, mapping.traffic_labels(seen), alike=True)
    if (ends := mapping.link_ends(seen)) is not None:
        (x0, y0), (x1, y1) = ends
        axes.plot([x0, x1], [y0, y1], color=RED, linewidth=4, solid_capstyle="butt", label="busiest link")
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    bar = figure.colorbar(heat, ax=axes, label="messages a step", shrink=0.8, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda value, _at: mapping.short(value))


def _utilisation(seen: Cores, figure: "Figure", title: str) -> None:
    """A bar for each core, in the colour of the resource that is scarcest there."""
    from matplotlib.ticker import MaxNLocator

    figure.set_size_inches(WIDTH, 3.6)
    axes = figure.subplots()
    many = len(seen.uses) >= mapping.HATCHED
    for n, name in enumerate(sorted({use.resource for use in seen.uses})):
        color, hatch = LOOKS[n % len(LOOKS)]
        own = [use for use in seen.uses if use.resource == name]
        axes.bar(
            [u.core for u in own], [u.percent for u in own], 1.0 if many else 0.85, color=color,
            hatch="" if many else hatch, edgecolor=color if many else "white", linewidth=0, label=mapping.plain(name),
        )  # fmt: skip
    axes.axhline(100, color=GREY, linestyle="--", linewidth=1, label="limit")
    axes.set_xlim(-0.6, max(use.core for use in seen.uses) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("core")
    axes.set_ylabel("scarcest resource, used [%]")
    _headed(figure, f"{title}: use of the cores", mapping.use_words(seen))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)


def _cost(seen: Cores, figure: "Figure", title: str) -> None:
    """Horizontal bars: cores, memory, messages and energy of each layer."""
    panels = mapping.cost_panels(seen)
    figure.set_size_inches(WIDTH, 1.7 + 0.2 * max(len(seen.costs), 4))
    names = [_name(f"{n + 1} {cost.layer}") for n, cost in enumerate(seen.costs)]
    at = np.arange(len(names))
    for axes, (label, parts) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        left = np.zeros(len(names))
        for (part, values), (color, hatch) in zip(parts, LOOKS, strict=False):
            axes.barh(at, values, left=left, color=color, hatch=hatch, edgecolor="white", linewidth=0, label=part)
            left += values
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter(lambda value, _at: mapping.short(value))
        axes.xaxis.get_major_locator().set_params(nbins=4)
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        if len(parts) > 1:
            axes.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(parts))
    figure.axes[0].set_yticks(at, names)
    figure.axes[0].set_ylim(len(names) - 0.4, -0.6)
    _headed(figure, f"{title}: cost by layer", mapping.cost_words(seen))


def _map(plan: Layout, figure: "Figure", title: str, caption: str, rows: int) -> "Axes":
    """Axes of equal units without numbers, with a frame and a name for each chip; ``rows``: those of the legend."""
    from matplotlib.patches import Rectangle

    wide, high = plan.x.edges[-1], plan.y.edges[-1]
    height = min(max(0.72 * WIDTH * high / wide, 1.5), 8.0)
    figure.set_size_inches(WIDTH, max(height + 1.0, 0.19 * rows + 1.2))
    axes: Axes = figure.subplots()
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_xlim(-0.2, wide + 0.2)
    axes.set_ylim(-0.2, high + 0.5)
    for chip, (left, right, lower, upper) in plan.frames.items():
        frame = Rectangle((left - 0.1, lower - 0.1), right - left + 0.2, upper - lower + 0.2, fill=False, color=GREY)
        axes.add_patch(frame)
        axes.text(left - 0.1, upper + 0.14, f"chip {chip}", fontsize=8, va="bottom")
    _headed(figure, title, caption)
    return axes


def _headed(figure: "Figure", title: str, caption: str) -> None:
    """A title, and the caption in lines below the drawing."""
    from textwrap import fill

    figure.suptitle(mapping.shortened(title, 90), fontweight="bold", fontsize=11, x=0.01, ha="left", parse_math=False)
    figure.supxlabel(fill(caption, 150), fontsize=8, color="#444444", x=0.01, ha="left", parse_math=False)


def _labels(axes: "Axes", plan: Layout, labels: Sequence[mapping.Label], alike: bool) -> None:
    """The labels that can be read, as large as fits."""
    tile = 72 * 0.72 * WIDTH / plan.x.edges[-1]
    for label, size in mapping.sized(labels, tile, (SMALLEST, 9.0), alike):
        axes.text(label.x, label.y, label.text, fontsize=size, color=label.ink, ha="center", va="center", clip_on=True)


def _name(text: str, most: int = 32) -> str:
    """``text``, short, with nothing that matplotlib takes for mathematics."""
    return mapping.shortened(text, most).replace("$", r"\$")
