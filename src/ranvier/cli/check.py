"""``ranvier check``: everything that stands between a model and a chip, with its fix."""

from rich.text import Text

from ranvier import api
from ranvier.cli.options import TARGET, CoderOptions, CoderSteps, ModelName, ModelOptions, TargetName
from ranvier.cli.output import Answer, Output, clean, drawn
from ranvier.cli.sources import read_encoder, read_model


def check(
    model: ModelName,
    options: ModelOptions,
    coder: CoderOptions,
    output: Output,
    target: TargetName = TARGET,
    steps: CoderSteps = None,
) -> Answer:
    """Say what stands in the way of a model on a chip, all at once, each with its fix."""
    with output.working("checking"):
        network = read_model(model, options, read_encoder(coder, steps))
        found = api.check(network, target)
    errors = [diagnostic for diagnostic in found if diagnostic.severity == "error"]
    if not output.json:
        output.refuse(errors)
    layers, neurons = len(network.populations), sum(_size(p.shape) for p in network.populations)
    data = {
        "network": network.name,
        "target": target,
        "layers": layers,
        "neurons": neurons,
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    }
    verdict = "cannot be compiled" if errors else "can be compiled"
    line = Text(clean(f"{network.name} ({layers} layers, {neurons:,} neurons) {verdict} for {target}"), style="bold")
    return Answer(data, (*drawn(d for d in found if d not in errors), line), not errors)


def _size(shape: tuple[int, ...]) -> int:
    neurons = 1
    for extent in shape:
        neurons *= extent
    return neurons
