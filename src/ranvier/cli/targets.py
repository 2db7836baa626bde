"""``ranvier targets``: the chips that programs can be compiled for, what is known of them, and who says so."""

from dataclasses import asdict
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument

from ranvier import api
from ranvier.cli.output import Answer, Output, clean
from ranvier.cli.tables import plural, row, table
from ranvier.compiler.diagnostics import error
from ranvier.targets.listing import Value, differences, values
from ranvier.targets.load import load_any
from ranvier.targets.schema import AnyTarget, Target

Words = Annotated[
    list[str] | None,
    Argument(metavar="[show TARGET | diff TARGET TARGET]", help="A target: a shipped name or a .toml file."),
]


def targets(output: Output, words: Words = None) -> Answer:
    """List the chips, show one with the source of every value, or say in what two of them differ."""
    match words or []:
        case []:
            return _list(output)
        case ["show", name]:
            return _show(load_any(name), output)
        case ["diff", one, other]:
            return _diff(load_any(one), load_any(other))
    fix = "ranvier targets; ranvier targets show loihi2; ranvier targets diff loihi1 mine.toml"
    raise error("RV640", "ranvier targets", f"{' '.join(words or [])!r:.80} is not understood", fix)


def _list(output: Output) -> Answer:
    found = [load_any(name) for name in api.target_names()]
    made = table("targets", "name", "kind", "cores#", "chips at most#", "neurons", "graded spikes", "shared kernels")
    for target in found:
        figures = _figures(target)
        cells = (f"{figures['kind']}", f"{target.cores_per_chip:,}", f"{target.max_chips:,}", f"{figures['neurons']}")
        bits = f"{figures['graded_bits']} bits" if figures["graded_bits"] else "no"
        row(made, target.name, *cells, bits, "yes" if figures["shares_convolution"] else "no")
    if output.verbose:
        made.caption = "sources: " + "; ".join(dict.fromkeys(s.cite for t in found for s in t.sources.values()))
    return Answer({"targets": {target.name: _figures(target) for target in found}}, (made,))


def _figures(target: AnyTarget) -> dict[str, object]:
    mesh = target if isinstance(target, Target) else None
    return {
        "vendor": target.chip.vendor,
        "kind": target.core.kind,
        "cores_per_chip": target.cores_per_chip,
        "max_chips": target.max_chips,
        "neurons": "programmable" if mesh is not None and mesh.programmable else "fixed",
        "programmable": mesh is not None and mesh.programmable,
        "graded_bits": mesh.graded_bits if mesh is not None else 0,
        "shares_convolution": mesh.shares_convolution if mesh is not None else target.core.kind == "layer",
    }


def _show(target: AnyTarget, output: Output) -> Answer:
    found = values(target)
    spread = output.verbose or any(not value.place.startswith(f"{target.file}:") for value in found)
    lines: list[RenderableType] = [Text(clean(f"{target.name} ({target.file})"), style="bold")]
    for value in found:
        at = f"  [{value.place}]" if spread else ""
        lines.append(Text.assemble((clean(value.key), "bold"), clean(f" = {value.text} {value.unit}".rstrip() + at)))
        if value.cite:
            lines.append(Text(clean(f"      {_claim(value)}"), style="dim"))
    return Answer({"target": target.name, "file": target.file, "values": [asdict(v) for v in found]}, tuple(lines))


def _claim(value: Value) -> str:
    """Who says so, on what basis, and how sure that is."""
    err = f"error up to {value.err:.1%}" if value.err else ""
    return f"{value.basis}, {value.conf}: " + "; ".join(filter(None, (value.cite, value.note, err)))


def _diff(one: AnyTarget, other: AnyTarget) -> Answer:
    found = differences(one, other)
    made = table(f"{one.name} and {other.name}", "key", f"{one.name} ({one.file})", f"{other.name} ({other.file})")
    for column in made.columns:
        column.overflow = "fold"
    for key, ours, theirs in found:
        row(made, key, _cell(ours), _cell(theirs))
    line = Text(plural(len(found), "difference"))
    data = [{"key": k, "values": [v and asdict(v) for v in pair]} for k, *pair in found]
    shown: tuple[RenderableType, ...] = (made, line) if found else (line,)
    return Answer({"targets": [one.name, other.name], "differences": data}, shown)


def _cell(value: Value | None) -> str:
    if value is None:
        return "(not given)"
    said = ", ".join(filter(None, (value.basis, value.conf)))
    return f"{value.text} {value.unit}".strip() + (f" ({said})" if said else "")
