"""``ranvier inspect``: what is in a program file."""

from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import ProgramFile
from ranvier.cli.output import Answer, Output, clean
from ranvier.cli.tables import plural, report_tables, row, shape_text, table
from ranvier.compiler.ir.program import Placement, Program
from ranvier.compiler.ir.text import dump

AsText = Annotated[bool, Option("--text", help="Print the program's text form instead.")]
MOST_PIECES = 20


def inspect(program: ProgramFile, output: Output, as_text: AsText = False) -> Answer:
    """Show the layers of a program file, their neurons' step programs, roundings, notes and cores."""
    app = api.open(program)
    text = dump(app.program)[0]
    steps = {p.program.semantics: str(p.program) for p in app.program.chip.populations}
    report = app.report()
    values: dict[str, object] = {
        "program": program,
        "provenance": dict(app.provenance),
        "report": report.to_json(),
        "connections": _connections(app.program),
        "steps": steps,
        "pieces": [{**vars(piece), "use": dict(piece.use)} for piece in app.program.placement.pieces],
        "text": text if as_text else None,
    }
    if as_text:
        return Answer(values, (Text(clean(text.rstrip("\n")), no_wrap=True, overflow="ignore"),))
    origin = ", ".join(f"{name} = {value}" for name, value in sorted(app.provenance.items()))
    shown: list[RenderableType] = [*report_tables(report, output.verbose), _connection_table(app.program)]
    shown += [Text(clean(step)) for step in steps.values()]
    shown.append(Text(clean(f"provenance: {origin or 'not stated'}")))
    shown.append(_pieces_table(app.program.placement, None if output.verbose else MOST_PIECES))
    return Answer(values, tuple(shown))


def _connections(program: Program) -> list[dict[str, object]]:
    return [
        {
            "name": c.name,
            "source": c.source,
            "target": c.target,
            "kind": c.synapse.kind,
            "sources": c.synapse.in_size,
            "targets": c.synapse.out_size,
            "exponent": c.exponent,
            "sign": c.sign,
            "delay": c.delay,
        }
        for c in program.chip.connections
    ]


def _connection_table(program: Program) -> RenderableType:
    port = program.chip.ports[0]
    bits = f"{port.bits} bits" if port.bits else "spikes"
    title = f"connections; input {port.name} {shape_text(port.shape)}, {bits}"
    made = table(title, "name", "from", "to", "kind", "sign", "exponent#", "delay#")
    for c in program.chip.connections:
        row(made, c.name, c.source, c.target, c.synapse.kind, c.sign, str(c.exponent), str(c.delay))
    return made


def _pieces_table(placement: Placement, most: int | None) -> RenderableType:
    left = len(placement.pieces) - len(placement.pieces[:most])
    more = f" ({left} more pieces with -v)" if left else ""
    made = table(f"{plural(placement.cores, 'core')}{more}", "core#", "chip#", "layer", "neurons#")
    sites = {site.core: site for site in placement.sites}
    for piece in placement.pieces[:most]:
        where = str(sites[piece.core].chip)
        row(made, str(piece.core), where, piece.population, f"{piece.start}..{piece.stop - 1}")
    return made
