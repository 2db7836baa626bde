"""``ranvier inspect``: what is in a program file."""

from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import ProgramFile
from ranvier.cli.output import Answer, Output, clean
from ranvier.cli.proofs import proved
from ranvier.cli.tables import plural, report_tables, row, shape_text, table
from ranvier.compiler.analysis.reasons import reasons
from ranvier.compiler.ir.coding import described, name_of
from ranvier.compiler.ir.program import Placement, Program
from ranvier.compiler.ir.text import dump

AsText = Annotated[bool, Option("--text", help="Print the program's text form instead.")]
Prove = Annotated[
    bool, Option("--prove", help="Search for inputs that overflow wherever overflow is not proved impossible.")
]
Seconds = Annotated[float, Option(min=0.1, help="Longest time for that search, in all.")]
Found = Annotated[
    Path | None,
    Option("--counterexamples", help="Write the inputs that overflow to this .npz file, as data for ranvier simulate."),
]
MOST_PIECES = 20


def inspect(
    program: ProgramFile,
    output: Output,
    as_text: AsText = False,
    prove: Prove = False,
    seconds: Seconds = 20.0,
    counterexamples: Found = None,
) -> Answer:
    """Show the layers of a program file, their neurons' step programs, roundings, notes and cores."""
    app = api.open(program)
    text = dump(app.program)[0]
    steps = {p.program.semantics: str(p.program) for p in app.program.chip.populations}
    report = app.report()
    why = {} if app.target is None else dict(reasons(app.program.chip, app.program.placement, app.target))
    values: dict[str, object] = {
        "program": program,
        "provenance": dict(app.provenance),
        "report": report.to_json(),
        "input": _input(app.program),
        "connections": _connections(app.program),
        "steps": steps,
        "pieces": [{**vars(piece), "use": dict(piece.use)} for piece in app.program.placement.pieces],
        "reasons": why,
        "text": text if as_text else None,
    }
    if as_text:
        return Answer(values, (Text(clean(text.rstrip("\n")), no_wrap=True, overflow="ignore"),))
    origin = ", ".join(f"{name} = {value}" for name, value in sorted(app.provenance.items()))
    shown: list[RenderableType] = list(report_tables(report, output.verbose))
    if prove or counterexamples:
        proof = proved(app.program.chip, output, seconds, counterexamples)
        values, shown = {**values, **proof.data}, [*shown, *proof.shown]
    shown.append(_connection_table(app.program))
    shown += [Text(clean(step)) for step in steps.values()]
    shown.append(Text(clean(f"provenance: {origin or 'not stated'}")))
    shown += [Text(clean(sentence)) for sentence in why.values()]
    shown.append(_pieces_table(app.program.placement, None if output.verbose else MOST_PIECES))
    return Answer(values, tuple(shown))


def _input(program: Program) -> dict[str, object]:
    port = program.chip.ports[0]
    encoder = port.encoder
    coded = None if encoder is None else {"coder": name_of(encoder), **vars(encoder)}
    return {"name": port.name, "shape": port.shape, "bits": port.bits, "scale": port.scale, "encoder": coded}


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
    coded = "" if port.encoder is None else f", samples in {described(port.encoder)}"
    title = f"connections; input {port.name} {shape_text(port.shape)}, {bits}{coded}"
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
