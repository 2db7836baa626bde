"""``ranvier check``: everything that stands between a model and a chip, with its fix."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.hosted import refuse_program_options
from ranvier.cli.options import TARGET, CoderOptions, CoderSteps, HostOption, ModelName, ModelOptions, TargetName
from ranvier.cli.output import Answer, Output, clean, drawn
from ranvier.cli.sources import read_encoder, read_hosted
from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Network, Neurons

if TYPE_CHECKING:
    from ranvier.fixes import Fixed

Apply = Annotated[bool, Option("--fix", help="Apply the fixes that the compiler tried and that help.")]
Result = Annotated[Path | None, Option("--output", "-o", help="With --fix: write the program of the fixed network.")]


def check(  # noqa: PLR0913, PLR0917 one parameter per group of options
    model: ModelName,
    options: ModelOptions,
    coder: CoderOptions,
    output: Output,
    target: TargetName = TARGET,
    steps: CoderSteps = None,
    fix: Apply = False,
    result: Result = None,
    host: HostOption = False,
) -> Answer:
    """Say what stands in the way of a model on a chip, all at once, each with its fix and what the compiler tried."""
    with output.working("checking"):
        network = read_hosted(model, options, read_encoder(coder, steps), host)
        found = api.check(network, target)
        if isinstance(network, HostedNetwork):
            refuse_program_options({"--fix": fix})
        tried = _tried(network, target, found) if isinstance(network, Network) else None
    said = list(tried.found) if fix and tried is not None else found
    left = [diagnostic for diagnostic in said if diagnostic.severity == "error"]
    if not output.json:
        output.refuse(left)
    if fix and result is not None and not left and isinstance(network, Network):
        changed = network if tried is None else tried.network
        api.compile(changed, target, weight_bits=8 if tried is None else tried.weight_bits).save(result)
    attempts = [] if tried is None else [one.to_json() for one in tried.tried]
    data = {**_data(network, target, said), "fixes": attempts, "fixed": bool(fix and attempts)}
    shown = (*drawn(d for d in said if d not in left), *_attempts(tried, fix), _verdict(data, not left))
    return Answer(data, shown, not left)


def _tried(network: Network, target: str, found: Sequence[Diagnostic]) -> "Fixed | None":
    """What the compiler tried against the errors; None where there are none."""
    if not any(d.severity == "error" for d in found):
        return None
    from ranvier.fixes import fixed  # noqa: PLC0415 - only where something is wrong

    return fixed(network, target, found)


def _data(network: Network | HostedNetwork, target: str, found: Sequence[Diagnostic]) -> dict[str, object]:
    populations = [node for node in network.nodes if isinstance(node, Neurons)]
    return {
        "network": network.name,
        "target": target,
        "layers": len(populations),
        "neurons": sum(prod(p.shape) for p in populations),
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    }


def _attempts(tried: "Fixed | None", applied: bool) -> list[Text]:
    lines = []
    for one in tried.tried if tried is not None else ():
        effect = f"leaves {one.after} of {one.before} errors" if one.helps else "does not help"
        word = ("applied" if applied else "tried, --fix applies it") if one.helps else "tried"
        lines.append(Text(clean(f"fix {word}: {one.what} ({effect})"), style="green" if one.helps else "dim"))
    return lines


def _verdict(data: Mapping[str, object], fits: bool) -> Text:
    verdict = "can be compiled" if fits else "cannot be compiled"
    what = f"{data['layers']} layers, {data['neurons']:,} neurons"
    return Text(clean(f"{data['network']} ({what}) {verdict} for {data['target']}"), style="bold")
