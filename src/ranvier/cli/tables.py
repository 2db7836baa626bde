"""Reports, verifications and findings as tables for people."""

from collections.abc import Iterable, Iterator

from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ranvier.cli.output import clean, drawn
from ranvier.compiler.analysis.energy import EnergyReport
from ranvier.compiler.analysis.equivalent import Equivalent
from ranvier.compiler.analysis.estimate import Estimate
from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.chip import Rounding
from ranvier.compiler.ir.network import Note
from ranvier.runtimes.verify import Verification
from ranvier.summary import LayerReport, Report

UNITS = ("B", "KiB", "MiB", "GiB")
NOT_MODELLED = "not modelled"


def table(title: str, *columns: str) -> Table:
    """An empty table, columns whose name ends with ``#`` aligned to the right."""
    made = Table(
        title=Text(clean(title), no_wrap=True, overflow="ignore"),
        title_justify="left",
        title_style="bold",
        header_style="bold",
    )
    for column in columns:
        number = column.endswith("#")
        justify: JustifyMethod = "right" if number else "left"
        made.add_column(column.removesuffix("#"), justify=justify, no_wrap=number, overflow="fold")
    return made


def row(made: Table, *cells: str | Text) -> None:
    """Add a row of plain text: what looks like markup or controls a terminal is only shown."""
    made.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in cells))


def report_tables(report: Report, verbose: bool) -> tuple[RenderableType, ...]:
    """What a program takes, its roundings (with ``verbose`` all of them), and the notes."""
    roundings = roundings_table(report.roundings, None if verbose else 5)
    return (*layers_table(report), *format_tables(report), *overflow_lines(report), *roundings, *notes(report.notes))


def format_tables(report: Report) -> Iterator[Table]:
    """What each connection takes, and would in every format of the target; nothing where that is not known."""
    if not report.formats:
        return
    kinds = list(dict.fromkeys(kind for c in report.formats for kind in c.by_format))
    columns = ("connection", "weights#", "not zero#", "bits#", *(f"{kind}#" for kind in kinds), "taken")
    made = table("synaptic memory by format", *columns)
    for c in report.formats:
        share = f"{c.nonzero:,} ({100 * c.nonzero / max(c.weights, 1):.0f} %)"
        sizes = (bytes_text(c.by_format[kind]) if kind in c.by_format else "" for kind in kinds)
        row(made, c.name, f"{c.weights:,}", share, str(c.bits), *sizes, f"{bytes_text(c.bytes)} {' '.join(c.taken)}")
    yield made


def overflow_lines(report: Report) -> list[RenderableType]:
    """Whether any input can make a register overflow, and which register, if that is not excluded."""
    open_ones = [bound for bound in report.registers if not bound.proved]
    count = len(report.registers)
    if not open_ones:
        return [Text(f"overflow: proved impossible for every input, in all {count} registers")]
    head = f"overflow: proved impossible in {count - len(open_ones)} of {count} registers; some input may overflow"
    lines = [
        f"  {clean(b.population)} {clean(b.where)}: {b.low:,} to {b.high:,}, it holds {b.least:,} to {b.most:,}"
        for b in open_ones
    ]
    return [Text("\n".join([head, *lines]))]


def layers_table(report: Report) -> tuple[RenderableType, ...]:
    """The layers of a program and what they take, and the energy where it is known."""
    ran = any(layer.rate is not None for layer in report.layers)
    columns = ("layer", "shape", "neurons#", "synapses#", "cores#", "weights#", "state#", *(("rate#",) if ran else ()))
    layers = table(f"{report.network} on {report.target}", *columns)
    for layer in report.layers:
        row(layers, *_layer_cells(layer)[: len(columns)])
    return layers, _totals(report), *energy_lines(report)


def energy_lines(report: Report) -> tuple[RenderableType, ...]:
    """Energy and time of a run, its basis, and the conventional network beside it."""
    e = report.energy
    if e is None:
        return (Text(f"energy: {NOT_MODELLED} for {report.target}"),) if report.ran else ()
    return Text("\n".join(clean(line) for line in energy_words(e))), *(
        () if e.equivalent is None else (twin_table(e.equivalent),)
    )


def energy_words(e: EnergyReport) -> list[str]:
    """Energy, time and what they rest on, line by line."""
    said = [f"energy: {energy_text(e)}"]
    said += [f"static energy, on top: {span_text(e.static_nj)}"] if e.static_nj is not None else []
    said += [f"time per inference: {span_text(e.inference_us, 'ms')}"] if e.inference_us is not None else []
    said += [f"as a conventional network: {twin_text(e.equivalent)}"] if e.equivalent is not None else []
    return [*said, *([f"energy: {e.source}"] if e.source else []), *e.notes]


def twin_table(twin: Equivalent) -> Table:
    """What the spiking network takes for an inference, and its conventional twin."""
    made = table("beside a conventional network", "per inference", "spiking#", "conventional#")
    for name, spiking, ann in twin_rows(twin):
        row(made, name, spiking, ann)
    return made


def twin_rows(twin: Equivalent) -> list[tuple[str, str, str]]:
    """Name, and both columns."""
    s, a = twin.spiking, twin.ann
    return [
        ("passes", f"{twin.steps}, spikes", f"1, {twin.activation_bits}-bit activations"),
        ("operations", f"{s.operations:,.0f} additions", f"{a.operations:,.0f} MACs"),
        ("neuron updates", f"{s.updates:,.0f}", f"{a.updates:,.0f}"),
        ("weight bits read", f"{s.weight_bits:,.0f}", f"{a.weight_bits:,.0f}"),
        ("state bits moved", f"{s.state_traffic_bits:,.0f}", f"{a.state_traffic_bits:,.0f}"),
        ("message bits", f"{s.message_bits:,.0f}", f"{a.message_bits:,.0f}"),
        ("state bits", f"{s.state_bits:,}", f"{a.state_bits:,}"),
        ("energy", span_text(s.energy_nj), span_text(a.energy_nj)),
        ("spike rate", percent(twin.rate), ""),
        ("break-even spike rate", break_even(twin), ""),
    ]


def twin_text(twin: Equivalent) -> str:
    """Who spends less, and by how much."""
    if twin.ratio <= 1:
        return f"{span_text(twin.ann.energy_nj)}, the spiking network takes {1 / twin.ratio:.3g} times less"
    return f"{span_text(twin.ann.energy_nj)}, the spiking network takes {twin.ratio:.3g} times more"


def break_even(twin: Equivalent) -> str:
    """The rate below which spikes pay."""
    if twin.break_even is None:
        return "no spikes"
    return "none: updates alone cost more" if twin.break_even == 0 else percent(twin.break_even)


def span_text(value: Estimate, unit: str = "uJ") -> str:
    """A figure in thousands, with its band."""
    span = "" if value.low is None or value.high is None else f" ({value.low / 1e3:.3g} to {value.high / 1e3:.3g})"
    return f"{value.value / 1e3:.3g} {unit}{span}"


def _layer_cells(layer: LayerReport) -> tuple[str, ...]:
    return (
        layer.name,
        shape_text(layer.shape),
        f"{layer.neurons:,}",
        f"{layer.synapses:,}",
        str(layer.cores),
        *(NOT_MODELLED if count is None else bytes_text(count) for count in (layer.weight_bytes, layer.state_bytes)),
        "" if layer.rate is None else f"{layer.rate:.4f}",
    )


def _totals(report: Report) -> Text:
    taken = "" if report.memory_bytes is None else f", {bytes_text(report.memory_bytes)}"
    cores, chips = plural(report.cores, "core"), plural(report.chips, "chip")
    return Text(f"{report.neurons:,} neurons, {report.synapses:,} synapses, {cores}, {chips}{taken}")


def roundings_table(roundings: Iterable[Rounding], most: int | None) -> list[RenderableType]:
    """The roundings by relative error, largest first, at most ``most`` of them."""
    ordered = sorted(roundings, key=lambda r: -r.relative)
    if not ordered:
        return []
    made = table("roundings, largest first", "layer", "parameter", "worst error#", "relative#")
    for r in ordered[:most]:
        row(made, r.place, r.parameter, f"{r.worst:.3g}", f"{100 * r.relative:.3g} %")
    left = len(ordered) - len(ordered[:most])
    return [made, *([Text(f"and {left} smaller ones (-v shows all)", style="dim")] if left else [])]


def notes(found: Iterable[Note]) -> tuple[RenderableType, ...]:
    """The notes of a program, one a line."""
    return drawn(Diagnostic(note.code, note.place, note.text, "", "note") for note in found)


def verification_tables(v: Verification) -> tuple[RenderableType, ...]:
    """Accuracies, agreement per layer, comparisons of executors, and what deserves attention."""
    parts: list[RenderableType] = [summary_table(v)]
    if v.agreement:
        layers = table("float against deployed", "layer", "equal spikes#", "float rate#", "rate#")
        for name, a in v.agreement.items():
            row(layers, name, f"{100 * a.fraction:.3f} %", f"{a.float_rate:.4f}", f"{a.rate:.4f}")
        parts.append(layers)
    if v.comparisons:
        made = table(f"executors against {v.runtime}", "runtime", "samples#", "spikes#", "states#", "disagreements#")
        for c in v.comparisons:
            row(made, c.runtime, str(c.samples), f"{c.spikes:,}", f"{c.states:,}", f"{c.disagreements:,}")
        parts.append(made)
    return (*parts, *drawn(v.diagnostics))


def summary_table(v: Verification) -> Table:
    """The figures of a verification, one a line."""
    made = table(f"{v.network} on {v.target}: {v.samples} samples of {v.steps} steps", "figure", "value")
    for name, value in verification_rows(v):
        row(made, name, value)
    return made


def verification_rows(v: Verification) -> list[tuple[str, str]]:
    """The figures of a verification as name and text."""
    rows = []
    if v.float_accuracy is not None:
        rows.append(("float accuracy", percent(v.float_accuracy)))
    if v.accuracy is not None:
        rows.append(("deployed accuracy", percent(v.accuracy)))
    if v.interval is not None:
        low, high = v.interval
        rows.append(("its 95 % Wilson interval", f"{100 * low:.2f} to {percent(high)}"))
    if v.same_predictions is not None:
        rows.append(("same predictions as float", percent(v.same_predictions)))
    if v.comparisons:
        fired = sum(c.fired for c in v.comparisons)
        rows.append(("spikes compared", f"{v.spikes_compared:,} neuron-steps, {fired:,} with a spike"))
        rows.append(("states compared", f"{sum(c.states for c in v.comparisons):,}"))
        rows.append(("disagreements", f"{v.disagreements:,}"))
    return rows


def energy_text(e: EnergyReport) -> str:
    """Energy per inference with its band and what its constants are."""
    if e.dynamic_nj is None:
        return "not known"
    basis = "" if e.own else f", estimated with the constants of {e.basis}"
    value, *span = span_text(e.dynamic_nj).split(" (")
    return f"{value} per inference{''.join(f' ({part}' for part in span)}, dynamic{basis}"


def percent(share: float) -> str:
    """A share as per cent."""
    return f"{100 * share:.2f} %"


def bytes_text(count: int) -> str:
    """A number of bytes in a unit that keeps it short."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{count / 1024**power:.1f} {UNITS[power]}" if power else f"{count} B"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as 2x34x34."""
    return "x".join(map(str, shape)) or "1"


def plural(count: int, what: str) -> str:
    """``1 core``, ``2 cores``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")
